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
    OrganSegmenter,
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
    "`total` or with the option `values`; `resample: nearest` allows another grid; or use "
    "`segmenter: totalsegmentator`."
)


@dataclass(frozen=True)
class ExistingMasks(OrganSegmenter):
    """Reads the organ masks that a hospital or TotalSegmentator has made.

    Three kinds: a label file per scan, whose values are class ids of TotalSegmentator's task
    `total` or are named by `values`; a file per scan and organ, `{organ}` in the pattern being the
    organ's name in the task `total`; or a segmentation with `segments`. Other classes than the
    twelve organs are dropped, and not all twelve need be there. A mask of a part of the scan is put
    where it belongs.

    Attributes:
        path: The folder, or its URL; in a catalog, a relative path starts at the project.
        pattern: Path of a mask below it; see `sources.find_volumes`.
        format: `volume` (NIfTI, NRRD, MetaImage by suffix), `dicom_seg` or `rtstruct`.
        segments: A regular expression for the segments' labels, by organ.
        values: The values in the label files, one or several, by organ.
        resample: `nearest` puts masks that lie on another grid than their scan on its grid.
        pseudonyms: CSV that gives the scan ids; see `sources.read_pseudonyms`.
        credentials: What opens the URL, for fsspec; never shown.
        fs_args: Other arguments of the fsspec filesystem.
    """

    path: str
    pattern: str = "{scan_id}.nii.gz"
    format: Format = "volume"
    segments: Mapping[str, str] | None = field(default=None, hash=False)
    values: Mapping[str, int | Sequence[int]] | None = field(default=None, hash=False)
    resample: Literal["nearest"] | None = None
    pseudonyms: str | None = None
    credentials: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    fs_args: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)

    def __post_init__(self) -> None:
        try:
            check_layout(self.path, self.pattern, self.format, self.segments or "", self.values)
        except SourceError as error:
            raise OrganSegmenterError(str(error)) from None
        if complaint := self._complaint():
            raise OrganSegmenterError(complaint)

    @property
    def fingerprint(self) -> str:
        """How the masks are read; see `fingerprint_for` for what the files hold."""
        # `ids` is what `values` were called when the first studies were fingerprinted.
        options = {"ids": self.values, "segments": self.segments, "resample": self.resample}
        given = {name: option for name, option in options.items() if option}
        return f"existing masks {fingerprint(given)}" if given else "existing masks"

    def fingerprint_for(self, scan_id: str) -> str:
        """Fingerprint of the content of the scan's organ mask files, wherever they lie.

        Args:
            scan_id: The scan.
        """
        try:
            files = {name: mask.fingerprint for name, mask in self._masks(scan_id).items()}
        except DownloadError as error:
            raise OrganSegmenterError(f"Scan {scan_id}: organ mask: {error}") from None
        return f"{self.fingerprint} {fingerprint(files)}"

    def check(self, scan_id: str, scan: sitk.Image) -> None:
        """Make sure that the scan's organ mask can be used, by reading it.

        Args:
            scan_id: The scan.
            scan: CT of the scan.

        Raises:
            OrganMaskError: As `segment`.
        """
        self.segment(scan_id, scan)

    def segment(self, scan_id: str, scan: sitk.Image) -> sitk.Image:
        """Read the scan's organ mask, as `OrganSegmenter.segment` describes it.

        Args:
            scan_id: The scan.
            scan: CT of the scan.

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
        """Read one mask onto the scan's grid."""
        name = f"Scan {scan_id}: {organ or 'organ'} mask {self._place(scan_id, organ)}"
        resample = self.resample is not None
        try:
            read = dataclasses.replace(mask, resample=resample).on_grid(scan)
        except DownloadError as error:
            raise OrganSegmenterError(f"{name}: {error}") from None
        except VolumeError as error:
            # The pattern tells the place; the folders that it leaves open may bear patients' names.
            reason = str(error).replace(mask.title, "it")
            if error.code == "other_grid":
                raise OrganMaskError(f"{name}: {reason}. {_REMEDY}", "organ_mask_grid") from None
            raise OrganMaskError(
                f"{name}: {reason}. Copy or export it anew.", "organ_mask_unreadable"
            ) from None
        return labels_on_grid(read, scan, name=name, remedy=_REMEDY, resample=resample)

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
            {**(self.credentials or {}), **(self.fs_args or {})},
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
    def _class_ids(self) -> dict[int, int]:
        """Class ids of the task `total` by the values of a label file."""
        values = (self.values or {}).items()
        return {value: CLASS_IDS[organ] for organ, given in values for value in several(given)}

    def _place(self, scan_id: str, organ: str = "") -> str:
        pattern = self.pattern.replace("{scan_id}", scan_id)
        return f"{self.path}/{pattern.replace(_ORGAN, organ or _ORGAN)}"

    def _complaint(self) -> str:
        """What keeps the options from describing organs; empty if nothing does."""
        choices: list[Any] = [self.segments or {}, self.values or {}]
        if not all(isinstance(choice, Mapping) for choice in choices):
            return "`segments` and `values` of organ masks go by organ: `{liver: 1, spleen: 2}`."
        if unknown := sorted({organ for choice in choices for organ in choice} - CLASS_IDS.keys()):
            return f"There is no organ {', '.join(unknown)}. Allowed: {', '.join(CLASS_IDS)}."
        if "{reader}" in self.pattern:
            return f"The pattern '{self.pattern}' of organ masks can have {_ORGAN}, not {{reader}}."
        if self.format == "dicom_series" or (self.format in SEGMENT_FORMATS and not self._by_organ):
            return "Organ masks are volumes, or `dicom_seg` or `rtstruct` with `segments` by organ."
        if self.resample not in (None, "nearest"):
            return f"`resample` can be 'nearest' or be left out, not '{self.resample}'."
        if self.values is not None and self._by_organ:
            return "`values` goes with a label file per scan, not with a mask per organ."
        n_values = sum(len(several(given)) for given in (self.values or {}).values())
        if len(self._class_ids) < n_values:
            return f"`values` must name whole numbers, each for one organ, not {self.values}."
        return ""
