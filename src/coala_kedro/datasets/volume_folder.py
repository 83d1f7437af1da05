"""Folders of volumes, and of records, that are made scan by scan."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from joblib import Parallel, delayed
from kedro.io import AbstractDataset, DatasetError

from coala_kedro.datasets.former_volumes import FormerVolumes
from coala_kedro.datasets.volume import LazyVolume, VolumeToBe, link_file, write_volume
from coala_kedro.disk import remove_partial
from coala_kedro.fingerprint import fingerprint
from coala_kedro.former import former_fingerprint
from coala_kedro.imaging.files import is_whole
from coala_kedro.locking import alone_in
from coala_kedro.progress import progress
from coala_kedro.provenance import read_provenance, write_provenance
from coala_kedro.sources import SourceVolume

logger = logging.getLogger(__name__)

Recipe = Callable[[], Any] | sitk.Image | Path | Mapping[str, sitk.Image]
"""A function that makes a scan's volumes, or the volumes themselves."""


class VolumeFolderDataset(AbstractDataset[Mapping[str, Any], dict[str, Any]]):
    """Loads a folder of volumes as `{scan_id: LazyVolume}` and saves `{scan_id: recipe}`.

    A recipe is a callable without arguments that returns a `SimpleITK.Image`; or the path of a file
    that is right as it is, which is linked; or a mapping of names to images, saved as
    `<name>/<scan_id>` and loaded under those keys. While it saves, the dataset keeps other runs out
    of the folder, skips what stands with the same fingerprint (see `coala_kedro.fingerprint`),
    makes the rest in parallel, writes each volume atomically and checks that it is whole, shows a
    progress bar, removes the volumes of scans that are no longer asked for, and at the end marks
    the folder complete. A run that is stopped half-way goes on from the first volume that is
    missing. `exists()` is true only for a complete folder, and an incomplete one is never loaded.

    Examples:
        ```yaml
        internal.consensus_masks:
          type: coala_kedro.datasets.VolumeFolderDataset
          path: data/03_primary/internal/consensus_masks
          n_jobs: 4

        internal.raw_scans:  # a hospital's own folder: it need not be marked complete
          type: coala_kedro.datasets.VolumeFolderDataset
          path: data/01_raw/internal/scans
          raw: true
        ```

        >>> folder = VolumeFolderDataset(path=str(tmp_path / "masks"))
        >>> folder.save({"scan_1": functools.partial(sitk.Image, 4, 4, 4, sitk.sitkUInt8)})
        >>> folder.load()["scan_1"]().GetSize()
        (4, 4, 4)
    """

    made_by_scan = True
    """Its recipes may be run apart from each other; runners spread them."""

    def __init__(
        self,
        *,
        path: str,
        filename_suffix: str = ".nii.gz",
        raw: bool = False,
        n_jobs: int = 1,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            path: Local folder.
            filename_suffix: Suffix of the volumes; it tells the format.
            raw: Every volume of the folder is loaded, whether or not the study made it.
            n_jobs: Volumes made at the same time, in joblib's sense.
            metadata: Anything kedro-viz or another plugin reads; ignored here.
        """
        self._folder = Path(path)
        self._filename_suffix = filename_suffix
        self._raw = raw
        self._n_jobs = n_jobs
        self.metadata = metadata
        self._title = "/".join(self._folder.parts[-2:])
        self._records = self._folder / ".made"
        self._complete = self._folder / ".complete.json"

    def load(self) -> dict[str, Any]:
        """List the folder's volumes, unread, by scan id: `LazyVolume`s, raw ones `SourceVolume`s.

        Raises:
            DatasetError: The folder is absent, or was left incomplete by a run that stopped.
        """
        if not self._folder.is_dir():
            raise DatasetError(
                f"There is no folder {self._folder}: run the step that makes it, "
                "or point the catalog entry at the folder you have."
            )
        complete = read_provenance(self._complete)
        if complete is None and (self._records.is_dir() or not self._raw):
            raise DatasetError(
                f"The folder {self._folder} is not complete: run the step that makes it again; "
                "what is there already is kept."
            )
        keys = complete["volumes"] if complete and not self._raw else self._listed()
        missing = [key for key in keys if not self._file(key).is_file()]
        if missing and not self._raw:  # what is wrong with a raw one is told when it is read
            raise DatasetError(
                f"The folder {self._folder} is not complete, {missing} were deleted from it: "
                "run the step that makes it again; what is there already is kept."
            )
        formerly = (complete or {}).get("formerly", {})
        return {key: self._read(key, formerly) for key in sorted(keys)}

    def save(self, data: Mapping[str, Recipe]) -> None:
        """Make and write volumes that are missing or out of date; then the folder is complete.

        Args:
            data: Recipes by scan id.

        Raises:
            DatasetError: A volume could not be made or written; it names the scan. The volumes
                made so far are kept.
            FolderInUseError: Another run works in the folder.
        """
        with alone_in(self._folder):
            remove_partial(self._folder)
            self._make_all(data)

    def foresee(self, data: Mapping[str, Recipe]) -> tuple[dict[str, Any], list[str]]:
        """What the folder would hold after `save(data)`, and the scans that would be made again.

        Args:
            data: As of `save`.
        """
        again = self._todo(data)
        volumes = {}
        for scan in data:
            record = self._record(scan) or {"volumes": [scan]}
            for key in record["volumes"]:
                made = self._read(key, record.get("formerly", {}))
                lazy = scan in again and isinstance(made, LazyVolume)
                volumes[key] = VolumeToBe(made.path) if lazy else made
        return volumes, [*again]

    def _make_all(self, data: Mapping[str, Recipe]) -> None:
        todo = self._todo(data)
        marked = (path.name.removesuffix(".json") for path in self._records.glob("[!.]*.json"))
        others = [scan for scan in marked if scan not in data]
        if todo or others:
            self._complete.unlink(missing_ok=True)
            self._records.mkdir(parents=True, exist_ok=True)
        # Threads suffice: SimpleITK and NumPy release the interpreter, networks run elsewhere.
        # `prefer` is a hint, so the Dask backend of a runner takes over.
        made = Parallel(
            n_jobs=self._n_jobs,
            prefer="threads",
            pre_dispatch="n_jobs",  # a scan that waits at a worker could not go to another
            return_as="generator_unordered",
        )(delayed(self._make)(scan, data[scan], record) for scan, record in todo.items())
        with progress(self._title, "scan", len(todo)) as advance:
            for n, _ in enumerate(made, start=1):
                advance(n)
        for scan in others:
            self._remove((self._record(scan) or {}).get("volumes", []))
            self._record_file(scan).unlink()
        records = [self._record(scan) or {} for scan in data]
        volumes = sorted(key for record in records for key in record["volumes"])
        formerly = {key: was for each in records for key, was in each.get("formerly", {}).items()}
        write_provenance(self._complete, {"volumes": volumes, "formerly": formerly})
        logger.info("%s: %d made, %d stood.", self._title, len(todo), len(data) - len(todo))

    def _todo(self, data: Mapping[str, Recipe]) -> dict[str, str | None]:
        """Scans to be made, with the fingerprints of their recipes."""
        todo = {}
        for scan, value in data.items():
            try:
                asked = fingerprint(value) if callable(value) else None
            except OSError as error:
                raise DatasetError(f"{self._title}, scan '{scan}': {error}") from error
            if asked is None or not self._stands(scan, value, asked):
                todo[scan] = asked
        return todo

    def _stands(self, scan: str, recipe: Any, asked: str) -> bool:
        record = self._record(scan)
        if not (record and record["fingerprint"]):
            return False
        if not all(is_whole(self._file(key)) for key in record["volumes"]):
            return False
        return record["fingerprint"] == asked or record["fingerprint"] == former_fingerprint(recipe)

    def _make(self, scan: str, value: Recipe, asked: str | None) -> None:
        try:
            made = self._by_name(value() if callable(value) else value)
            files = {key: self._file(key) for key in (f"{n}/{scan}" if n else scan for n in made)}
            record = self._record(scan) or {}
            earlier = record.get("volumes", [])
            former = FormerVolumes(files, record, value)
            # Until all are written, these volumes stand for no recipe, the earlier one included.
            record = {"fingerprint": None, "volumes": sorted({*earlier, *files})}
            write_provenance(self._record_file(scan), record | {"held": former.for_resuming()})
            for path, volume in zip(files.values(), made.values(), strict=True):
                self._write(volume, path)
        except Exception as error:
            raise DatasetError(f"{self._title}, scan '{scan}': {error}") from error
        self._remove({*earlier} - {*files})
        record = {"fingerprint": asked, "volumes": [*files], "formerly": former.unchanged()}
        write_provenance(self._record_file(scan), record)

    def _by_name(self, made: Any) -> Mapping[str, Any]:
        """Volumes that a recipe made, by name; a single one has none."""
        return made if isinstance(made, Mapping) else {"": made}

    def _write(self, made: Any, path: Path) -> None:
        """Write one volume atomically, or link the file that holds it."""
        if isinstance(made, Path):
            link_file(made, path)
        else:
            write_volume(made, path)

    def _read(self, key: str, formerly: Mapping[str, str]) -> Any:
        path = str(self._file(key).absolute())
        return SourceVolume(path) if self._raw else LazyVolume(path, formerly.get(key, ""))

    def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._file(key).unlink(missing_ok=True)

    def _listed(self) -> list[str]:
        """Keys of the files that are there; hidden files and folders are left out."""
        suffix = self._filename_suffix
        names = (file.relative_to(self._folder) for file in self._folder.rglob(f"*{suffix}"))
        shown = (n for n in names if not any(part.startswith(".") for part in n.parts))
        return [name.as_posix().removesuffix(suffix) for name in shown]

    def _record_file(self, scan: str) -> Path:
        return self._records / f"{scan}.json"

    def _record(self, scan: str) -> dict[str, Any] | None:
        return read_provenance(self._record_file(scan))

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}{self._filename_suffix}"

    def _exists(self) -> bool:
        complete = read_provenance(self._complete)
        if complete is not None:
            return all(self._file(key).is_file() for key in complete["volumes"])
        return self._raw and not self._records.is_dir() and bool(self._listed())

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder), "raw": self._raw}


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

    def _by_name(self, made: Any) -> Mapping[str, Any]:
        return {"": made}

    def _write(self, made: Any, path: Path) -> None:
        write_provenance(path, made)

    def _read(self, key: str, formerly: Mapping[str, str]) -> Any:
        return json.loads(self._file(key).read_text(encoding="utf-8"))
