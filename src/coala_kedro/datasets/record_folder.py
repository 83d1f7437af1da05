"""A folder of small records, one per scan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coala_kedro.datasets.held import HeldVolume
from coala_kedro.datasets.volume_folder import VolumeFolderDataset
from coala_kedro.marks import write_mark


class RecordFolderDataset(VolumeFolderDataset):
    """Loads a folder of JSON records as `{scan_id: record}` and saves `{scan_id: recipe}`.

    All that `VolumeFolderDataset` does for volumes, for mappings of plain values: what was measured
    on each scan, say.

    Examples:
        ```yaml
        internal.inspected:
          type: coala_kedro.datasets.RecordFolderDataset
          path: data/02_intermediate/internal/inspected
          n_jobs: 4
        ```

        >>> folder = RecordFolderDataset(path=str(tmp_path / "facts"))
        >>> folder.save({"scan_1": {"n_slices": 120}})
        >>> folder.load()
        {'scan_1': {'n_slices': 120}}
    """

    def __init__(
        self, *, path: str, n_jobs: int = 1, metadata: dict[str, Any] | None = None
    ) -> None:
        """Create the dataset.

        Args:
            path: Local folder.
            n_jobs: Records made at the same time, in joblib's sense.
            metadata: Anything kedro-viz or another plugin reads; ignored here.
        """
        super().__init__(path=path, filename_suffix=".json", n_jobs=n_jobs, metadata=metadata)

    def _named(self, made: Any) -> Mapping[str, Any]:
        return {"": made}

    def _write(self, made: Any, path: Path) -> None:
        write_mark(path, made)

    def _held(self, key: str, mark: Mapping[str, Any], value: Any) -> list[HeldVolume]:
        return []

    def _read(self, path: Path, formerly: str) -> Any:
        return json.loads(path.read_text(encoding="utf-8"))
