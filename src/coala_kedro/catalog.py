"""Kedro's catalog, whose files are whole or stay as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractVersionedDataset, DataCatalog

from coala_kedro.disk import written_whole


class WholeFileCatalog(DataCatalog):
    """A `kedro.io.DataCatalog` that keeps what a dataset wrote before until its new file is whole.

    kedro-datasets write tables, pictures and pages in place: where the disk is full, or a text
    cannot be encoded, the earlier file is lost and a cut one lies in its place. Here they write
    beside it, whatever the dataset, and the file is renamed at the end. Folders, volumes and remote
    files are left to their datasets.
    """

    def save(self, ds_name: str, data: Any) -> None:
        """Save data to a dataset; see `kedro.io.DataCatalog.save`.

        Raises:
            DiskFullError: The disk is full; the earlier file is kept.
        """
        with _beside(self[ds_name]):
            super().save(ds_name, data)


@contextmanager
def _beside(dataset: Any) -> Iterator[None]:
    """Let a dataset of one local file write beside it; others write as they do."""
    path = Path(str(getattr(dataset, "_filepath", "")))
    kept_by_kedro = isinstance(dataset, AbstractVersionedDataset) and not dataset._version
    local = getattr(dataset, "_protocol", "") == "file"
    if not (kept_by_kedro and local and path.suffix):  # without a suffix it may be a folder
        yield
        return
    with written_whole(path, path.name) as partial:
        dataset._get_save_path = lambda: PurePosixPath(partial)
        try:
            yield
        finally:
            del dataset._get_save_path
