"""Kedro's catalog, whose files are whole or stay as they were."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractVersionedDataset, DataCatalog

from coala_kedro.disk import written_whole
from coala_kedro.standing import Note, Result

logger = logging.getLogger(__name__)


class WholeFileCatalog(DataCatalog):
    """A `kedro.io.DataCatalog` that keeps what a dataset wrote before until its new file is whole.

    kedro-datasets write tables, pictures and pages in place: where the disk is full, or a text
    cannot be encoded, the earlier file is lost and a cut one lies in its place. Here they write
    beside it, whatever the dataset, and the file is renamed at the end. Folders, volumes and remote
    files are left to their datasets.

    Of a node's `Result` nothing is computed or written as long as the file stands that was made of
    the same.
    """

    def save(self, ds_name: str, data: Any) -> None:
        """Save data to a dataset; see `kedro.io.DataCatalog.save`.

        Raises:
            DiskFullError: The disk is full; the earlier file is kept.
        """
        dataset = self[ds_name]
        file = _local_file(dataset)
        if not isinstance(data, Result):
            with _beside(dataset, file):
                super().save(ds_name, data)
            return
        if file is None:
            self.save(ds_name, data.value())
            return
        files = [Path(name) for name in getattr(dataset, "artifacts", [file])]
        note = Note(files, repr(dataset), data)
        if note.is_true:
            logger.debug("%s stands.", ds_name)
            return
        self.save(ds_name, data.value())
        note.write()


def _local_file(dataset: Any) -> Path | None:
    """The local file that a dataset is; None for folders, volumes, versions and remote files."""
    path = Path(str(getattr(dataset, "_filepath", "")))
    kept_by_kedro = isinstance(dataset, AbstractVersionedDataset) and not dataset._version
    local = getattr(dataset, "_protocol", "") == "file"
    return path if kept_by_kedro and local and path.suffix else None  # without, it may be a folder


@contextmanager
def _beside(dataset: Any, path: Path | None) -> Iterator[None]:
    """Let a dataset of one local file write beside it; others write as they do."""
    if path is None:
        yield
        return
    with written_whole(path, path.name) as partial:
        dataset._get_save_path = lambda: PurePosixPath(partial)
        try:
            yield
        finally:
            del dataset._get_save_path
