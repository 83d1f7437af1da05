"""Organ masks that were made before."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from coala_kedro.fingerprint import fingerprint
from coala_kedro.imaging.files import VolumeError
from coala_kedro.organs.segmenter import (
    CLASS_IDS,
    OrganMaskError,
    OrganSegmenterError,
    labels_on_grid,
    organ_mask,
)
from coala_kedro.sources import (
    SEGMENT_FORMATS,
    DownloadError,
    Format,
    SourceError,
    SourceVolume,
    check_layout,
    find_volumes,
    read_pseudonyms,
    several,
)

_ORGAN = "{organ}"
_REMEDY = (
    "Export the mask anew, on the scan's own grid, with the class ids of TotalSegmentator's task "
    "`total` or with the option `ids`; `resample: nearest` allows another grid; or use "
    "`segmenter: totalsegmentator`."
)


@dataclass(frozen=True)
class ExistingMasks:
    """Reads the organ masks that a hospital or TotalSegmentator has made.

    Three kinds: a label file per scan, whose values are class ids of TotalSegmentator's task
    `total` or are told by `ids`; a file per scan and organ, `{organ}` in the pattern being the
    organ's name in the task `total`; or a DICOM segmentation, with `segments`. Other classes than
    the twelve organs are dropped, and not all twelve need be there. A mask of a part of the scan
    is put where it belongs.

    Attributes:
        path: The folder, or its URL; in a catalog, a relative path starts at the project.
        pattern: Path of a mask below it; see `sources.find_volumes`.
        format: `volume` (NIfTI, NRRD, MetaImage by suffix), `dicom_seg` or `rtstruct`.
        ids: The values in the label files, one or several, by organ.
        segments: A regular expression for the segments' labels, by organ.
        resample: `nearest` puts masks that lie on another grid than their scan on its grid.
        pseudonyms: CSV that gives the scan ids; see `sources.read_pseudonyms`.
        storage_options: What fsspec needs to open a URL: credentials, so it is never shown.
    """

    path: str
    pattern: str = "{scan_id}.nii.gz"
    format: Format = "volume"
    ids: Mapping[str, int | Sequence[int]] | None = field(default=None, hash=False)
    segments: Mapping[str, str] | None = field(default=None, hash=False)
    resample: Literal["nearest"] | None = None
    pseudonyms: str | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        try:
            check_layout(self.path, self.pattern, self.format, self.segments or "")
            self._check_options()
        except SourceError as error:
            raise OrganSegmenterError(str(error)) from None

    @property
    def fingerprint(self) -> str:
        """How the masks are read; see `fingerprint_for` for what the files hold."""
        options = {"ids": self.ids, "segments": self.segments, "resample": self.resample}
        told = {name: option for name, option in options.items() if option}
        return f"existing masks {fingerprint(told)}" if told else "existing masks"

    def fingerprint_for(self, scan_id: str) -> str:
        """Fingerprint of the scan's organ mask: of what its files hold, not of their place.

        Raises:
            OrganMaskError: The scan has no organ mask.
            OrganSegmenterError: No scan has, or the files cannot be reached.
        """
        try:
            files = {name: mask.fingerprint for name, mask in self._masks(scan_id).items()}
        except DownloadError as error:
            raise OrganSegmenterError(f"Scan {scan_id}: organ mask: {error}") from None
        return f"{self.fingerprint} {fingerprint(files)}"

    def check(self, scan_id: str, scan: sitk.Image) -> None:
        """Make sure that the scan's organ mask can be used: read it.

        Raises:
            OrganMaskError: As `segment`.
        """
        self.segment(scan_id, scan)

    def require(self, *, phase: bool) -> None:
        """Nothing: a scan without a mask is told when it is screened."""

    @property
    def tells_phase(self) -> bool:
        """Masks know nothing of it."""
        return False

    def contrast_phase(self, scan_id: str, scan: sitk.Image) -> None:
        """Not told."""

    def segment(self, scan_id: str, scan: sitk.Image) -> sitk.Image:
        """Read the scan's organ mask, as `OrganSegmenter.segment` describes it.

        Raises:
            OrganMaskError: The mask is absent, damaged, not on the scan's grid, or holds values
                that are no labels.
            OrganSegmenterError: No scan has a mask, or the files cannot be reached.
        """
        masks = self._masks(scan_id)
        if "" in masks:
            labels = self._labels("", masks[""], scan_id, scan)
            return organ_mask(labels, scan, self._class_ids)
        organs = np.zeros(scan.GetSize()[::-1], np.uint8)
        for organ, mask in masks.items():
            organs[self._labels(organ, mask, scan_id, scan) != 0] = CLASS_IDS[organ]
        return organ_mask(organs, scan)

    def _labels(self, organ: str, mask: SourceVolume, scan_id: str, scan: sitk.Image) -> np.ndarray:
        name = f"Scan {scan_id}: {organ or 'organ'} mask {self._place(scan_id, organ)}"
        try:
            with mask.local() as source:
                return labels_on_grid(
                    self._read(source, name, scan),
                    scan,
                    name=name,
                    remedy=_REMEDY,
                    resample=self.resample is not None,
                )
        except DownloadError as error:
            raise OrganSegmenterError(f"{name}: {error}") from None

    def _read(self, source: SourceVolume, name: str, scan: sitk.Image) -> sitk.Image:
        if source.format in SEGMENT_FORMATS:
            source = dataclasses.replace(source, resample=self.resample is not None)
        try:
            return source.on_grid(scan)
        except VolumeError as error:
            # The pattern tells the place; the folders that it leaves open may bear patients' names.
            reason = str(error).replace(source.title, "it")
            if error.code == "other_grid":
                raise OrganMaskError(f"{name}: {reason}. {_REMEDY}", "organ_mask_grid") from None
            raise OrganMaskError(
                f"{name}: {reason}. Copy or export it anew.", "organ_mask_unreadable"
            ) from None

    def _masks(self, scan_id: str) -> dict[str, SourceVolume]:
        """The masks of a scan by organ; "" names one of all organs."""
        try:
            masks = self._found.get(scan_id)
        except (SourceError, DownloadError) as error:
            raise OrganSegmenterError(f"Scan {scan_id}: organ masks: {error}") from None
        if not masks:
            organs = f" for any of {', '.join(CLASS_IDS)}" if self._by_organ else ""
            raise OrganMaskError(
                f"Scan {scan_id} has no organ mask: {self._place(scan_id)} is absent{organs}. Put "
                "it there, mend the options `path` and `pattern`, or use "
                "`segmenter: totalsegmentator`.",
                "organ_mask_absent",
            )
        return masks

    @functools.cached_property
    def _found(self) -> dict[str, dict[str, SourceVolume]]:
        """The masks of all scans: a remote folder is listed once."""
        volumes = find_volumes(
            self.path,
            self.pattern,
            self.format,
            self.segments or "",
            self.storage_options,
            pseudonyms=read_pseudonyms(self.pseudonyms) if self.pseudonyms else None,
        )
        found: dict[str, dict[str, SourceVolume]] = {}
        for key, volume in volumes.items():
            organ, _, scan_id = key.rpartition("/")
            if organ in CLASS_IDS or not self._by_organ:
                found.setdefault(scan_id, {})[organ] = volume
        return found

    @property
    def _by_organ(self) -> bool:
        return _ORGAN in self.pattern or bool(self.segments)

    @property
    def _class_ids(self) -> dict[int, int] | None:
        if self.ids is None:
            return None
        return {
            value: CLASS_IDS[organ] for organ, given in self.ids.items() for value in several(given)
        }

    def _place(self, scan_id: str, organ: str = "") -> str:
        pattern = self.pattern.replace("{scan_id}", scan_id)
        return f"{self.path}/{pattern.replace(_ORGAN, organ or _ORGAN)}"

    def _check_options(self) -> None:
        names = {*(self.ids or ()), *(self.segments or ())}
        if unknown := sorted(names - CLASS_IDS.keys()):
            raise SourceError(
                f"There is no organ {', '.join(unknown)}. Allowed: {', '.join(CLASS_IDS)}."
            )
        if "{reader}" in self.pattern:
            raise SourceError(
                f"The pattern '{self.pattern}' of organ masks can have {_ORGAN}, not {{reader}}."
            )
        if self.format == "dicom_series" or (self.format in SEGMENT_FORMATS and not self._by_organ):
            raise SourceError(
                "Organ masks are volumes, or `dicom_seg` or `rtstruct` with `segments` by organ."
            )
        if self.resample not in (None, "nearest"):
            raise SourceError(f"`resample` can be 'nearest' or be left out, not '{self.resample}'.")
        self._check_ids()

    def _check_ids(self) -> None:
        if self.ids is None:
            return
        if self._by_organ:
            raise SourceError("`ids` goes with a label file per scan, not with a mask per organ.")
        values = [value for given in self.ids.values() for value in several(given)]
        wrong = [v for v in values if not isinstance(v, int) or isinstance(v, bool) or v < 1]
        if wrong or len({*values}) < len(values) or not values:
            raise SourceError(
                "`ids` must name whole numbers from 1 up, each for one organ, not "
                f"{dict(self.ids)}."
            )
