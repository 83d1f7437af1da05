"""A folder of volumes, one or several per scan."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from joblib import Parallel, delayed
from kedro.io import DatasetError
from kedro_datasets.partitions import PartitionedDataset

from coala_kedro.datasets.held import HeldVolume, held_volumes, known_in
from coala_kedro.datasets.volume import (
    LazyVolume,
    VolumeDataset,
    VolumeToBe,
    link_file,
    write_volume,
)
from coala_kedro.disk import remove_partial
from coala_kedro.fingerprint import fingerprint
from coala_kedro.former import former_fingerprint
from coala_kedro.imaging.files import is_whole
from coala_kedro.marks import read_mark, write_mark
from coala_kedro.progress import progress
from coala_kedro.sources import SourceVolume
from coala_kedro.work import alone_in

logger = logging.getLogger(__name__)

Volumes = sitk.Image | Path | Mapping[str, sitk.Image]
Recipe = Callable[[], Any]


class VolumeFolderDataset(PartitionedDataset):
    """Loads a folder of volumes as `{scan_id: LazyVolume}` and saves `{scan_id: recipe}`.

    A recipe is a callable without arguments that returns a `SimpleITK.Image`; or the path of a file
    that is right as it is, which is linked; or a mapping of names to images, saved as
    `<name>/<scan_id>` and loaded under those keys. While it saves, the
    dataset keeps other runs out of the folder, skips what stands with the same fingerprint (see
    `coala_kedro.fingerprint`), makes the rest in parallel, writes each volume atomically and looks
    whether it is whole, shows a progress bar, removes the volumes of scans that are no longer asked
    for, and at the end marks the folder complete. A run that is
    stopped half-way goes on from the first volume that is missing. `exists()` is true only for a
    complete folder, and an incomplete one is never loaded.

    Examples:
        ```yaml
        internal.consensus_masks:
          type: coala_kedro.datasets.VolumeFolderDataset
          path: data/03_primary/internal/consensus_masks
          n_jobs: 4

        internal.raw_scans:  # a hospital's own folder: no marks wanted
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
        super().__init__(
            path=path, dataset=VolumeDataset, filename_suffix=filename_suffix, metadata=metadata
        )
        self._folder = Path(path)
        self._raw = raw
        self._n_jobs = n_jobs

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
        complete = read_mark(self._complete_mark)
        if complete is None and (self._marks.is_dir() or not self._raw):
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
        return {
            key: self._read(self._file(key).absolute(), formerly.get(key, ""))
            for key in sorted(keys)
        }

    def _read(self, path: Path, formerly: str) -> Any:
        return SourceVolume(str(path)) if self._raw else LazyVolume(str(path), formerly)

    def save(self, data: Mapping[str, Volumes | Recipe]) -> None:
        """Make and write what does not stand yet, then mark the folder complete.

        Args:
            data: A recipe, or the volumes themselves, by scan id.

        Raises:
            DatasetError: A volume could not be made or written; it names the scan. The volumes
                made so far are kept.
            FolderInUseError: Another run works in the folder.
        """
        with alone_in(self._folder):
            remove_partial(self._folder)
            self._make_all(data)

    def _make_all(self, data: Mapping[str, Volumes | Recipe]) -> None:
        asked = {scan: self._fingerprint_of(scan, value) for scan, value in data.items()}
        todo = [scan for scan, mark in asked.items() if not self._stands(scan, data[scan], mark)]
        if todo or self._others(data):
            self._complete_mark.unlink(missing_ok=True)
            self._marks.mkdir(parents=True, exist_ok=True)
        jobs = (delayed(self._make)(scan, data[scan], asked[scan]) for scan in todo)
        # Threads suffice: SimpleITK and NumPy release the interpreter, networks run elsewhere.
        # `prefer` is a hint, so the Dask backend of a runner takes over.
        made = Parallel(
            n_jobs=self._n_jobs,
            prefer="threads",
            pre_dispatch="n_jobs",  # a scan that waits at a worker could not go to another
            return_as="generator_unordered",
        )(jobs)
        with progress(self._title, "scan", len(todo)) as advance:
            for n, _ in enumerate(made, start=1):
                advance(n)
        self._forget(self._others(data))
        marks = {scan: self._mark(scan) or {} for scan in data}
        volumes = sorted(key for mark in marks.values() for key in mark["volumes"])
        formerly = {k: v for mark in marks.values() for k, v in mark.get("formerly", {}).items()}
        write_mark(self._complete_mark, {"volumes": volumes, "formerly": formerly})
        logger.info("%s: %d made, %d stood.", self._title, len(todo), len(data) - len(todo))

    def foresee(self, data: Mapping[str, Volumes | Recipe]) -> tuple[dict[str, Any], list[str]]:
        """What the folder would hold after `save(data)`, and the scans that would be made again."""
        again = [
            scan
            for scan, value in data.items()
            if not self._stands(scan, value, self._fingerprint_of(scan, value))
        ]
        held = {}
        for scan in data:
            mark = self._mark(scan) or {"volumes": [scan]}
            for key in mark["volumes"]:
                path = self._file(key).absolute()
                made = self._read(path, mark.get("formerly", {}).get(key, ""))
                lazy = scan in again and isinstance(made, LazyVolume)
                held[key] = VolumeToBe(str(path)) if lazy else made
        return held, again

    def _make(self, scan: str, value: Volumes | Recipe, mark: str | None) -> None:
        try:
            named = self._named(value() if callable(value) else value)
            keys = [f"{name}/{scan}" if name else scan for name in named]
            before = self._mark(scan) or {}
            earlier = before.get("volumes", [])
            held = {key: self._held(key, before, value) for key in keys}
            # Until all are written, these volumes stand for no recipe, the earlier one included.
            told = {key: volumes[0].told for key, volumes in held.items() if volumes}
            begun = {"fingerprint": None, "volumes": sorted({*earlier, *keys}), "held": told}
            write_mark(self._scan_mark(scan), begun)
            for key, volume in zip(keys, named.values(), strict=True):
                self._write(volume, self._file(key))
        except Exception as error:
            raise DatasetError(f"{self._title}, scan '{scan}': {error}") from error
        for key in set(earlier) - set(keys):
            self._file(key).unlink(missing_ok=True)
        known = {key: known_in(self._file(key), volumes) for key, volumes in held.items()}
        formerly = {key: known_as for key, known_as in known.items() if known_as}
        write_mark(
            self._scan_mark(scan), {"fingerprint": mark, "volumes": keys, "formerly": formerly}
        )

    def _held(self, key: str, mark: Mapping[str, Any], value: Any) -> list[HeldVolume]:
        return held_volumes(self._file(key), key, mark, value)

    def _named(self, made: Any) -> Mapping[str, Any]:
        """What a recipe made, by name; a single thing has none."""
        return made if isinstance(made, Mapping) else {"": made}

    def _write(self, made: Any, path: Path) -> None:
        """Write one volume atomically, or link the file that holds it."""
        if isinstance(made, Path):
            link_file(made, path)
        else:
            write_volume(made, path)

    def _fingerprint_of(self, scan: str, value: Volumes | Recipe) -> str | None:
        if not callable(value):
            return None
        try:
            return fingerprint(value)
        except OSError as error:
            raise DatasetError(f"{self._title}, scan '{scan}': {error}") from error

    def _stands(self, scan: str, value: Volumes | Recipe, mark: str | None) -> bool:
        made = self._mark(scan)
        if made is None or mark is None or not made["fingerprint"]:
            return False
        if not all(is_whole(self._file(key)) for key in made["volumes"]):
            return False
        return made["fingerprint"] == mark or made["fingerprint"] == former_fingerprint(value)

    def _others(self, scans: Collection[str]) -> list[str]:
        """Scans made earlier that are no longer asked for."""
        made = (path.name.removesuffix(".json") for path in self._marks.glob("[!.]*.json"))
        return [scan for scan in made if scan not in scans]

    def _forget(self, scans: Collection[str]) -> None:
        for scan in scans:
            for key in (self._mark(scan) or {}).get("volumes", []):
                self._file(key).unlink(missing_ok=True)
            self._scan_mark(scan).unlink()

    def _listed(self) -> list[str]:
        files = self._folder.rglob(f"*{self._filename_suffix}")
        names = (file.relative_to(self._folder) for file in files)
        return [
            name.as_posix().removesuffix(self._filename_suffix)
            for name in names
            if not any(part.startswith(".") for part in name.parts)
        ]

    @property
    def _title(self) -> str:
        return "/".join(self._folder.parts[-2:])

    @property
    def _marks(self) -> Path:
        return self._folder / ".made"

    @property
    def _complete_mark(self) -> Path:
        return self._folder / ".complete.json"

    def _scan_mark(self, scan: str) -> Path:
        return self._marks / f"{scan}.json"

    def _mark(self, scan: str) -> dict[str, Any] | None:
        return read_mark(self._scan_mark(scan))

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}{self._filename_suffix}"

    def _exists(self) -> bool:
        complete = read_mark(self._complete_mark)
        if complete is not None:
            return all(self._file(key).is_file() for key in complete["volumes"])
        return self._raw and not self._marks.is_dir() and bool(self._listed())
