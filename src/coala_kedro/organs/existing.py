"""Organ masks that were made before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from coala_kedro.fingerprint import file_fingerprint
from coala_kedro.imaging.files import VolumeError, read_whole_volume
from coala_kedro.organs.segmenter import OrganSegmenterError, checked_organ_mask


@dataclass(frozen=True)
class ExistingMasks:
    """Reads a scan's organ mask from a folder of `<scan_id>.nii.gz`.

    The values of the masks are class ids of TotalSegmentator's task `total`; classes other than
    the twelve organs are dropped.

    Attributes:
        path: The folder; in a catalog, a relative path starts at the project.
    """

    path: str

    @property
    def fingerprint(self) -> str:
        """The same for every folder: see `fingerprint_for` for what the files hold."""
        return "existing masks"

    def fingerprint_for(self, scan_id: str) -> str:
        """Fingerprint of the scan's organ mask: the file's size and content, not its place.

        Raises:
            OrganSegmenterError: The scan has no organ mask.
        """
        path = self._file(scan_id)
        return f"{self.fingerprint} {path.stat().st_size} {file_fingerprint(path)}"

    def segment(self, scan_id: str, scan: sitk.Image) -> sitk.Image:
        """Read the scan's organ mask, as `OrganSegmenter.segment` describes it.

        Raises:
            OrganSegmenterError: The file is absent, damaged, not on the scan's grid, holds values
                that are no labels, or no liver.
        """
        path = self._file(scan_id)
        try:
            mask = read_whole_volume(path)
        except VolumeError as error:
            raise OrganSegmenterError(
                f"Scan {scan_id}: organ mask {error}. Copy or export it anew."
            ) from None
        return checked_organ_mask(
            mask,
            scan,
            name=f"Scan {scan_id}: organ mask {path}",
            remedy="Export the mask anew, on the scan's own grid, with the class ids of "
            "TotalSegmentator's task `total`; or use `segmenter: totalsegmentator`.",
        )

    def _file(self, scan_id: str) -> Path:
        path = Path(self.path) / f"{scan_id}.nii.gz"
        if not path.is_file():
            raise OrganSegmenterError(
                f"Scan {scan_id} has no organ mask: {path.absolute()} is absent. Put it there, "
                "mend the option `path`, or use `segmenter: totalsegmentator`."
            )
        return path
