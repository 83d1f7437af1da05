"""What an organ segmenter is, and what every organ mask must be."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import SimpleITK as sitk

from coala_kedro.anatomy import LIVER, ORGANS
from coala_kedro.imaging.geometry import grid_differences, image_like, labels_zyx, replace_labels

ORGAN_IDS = frozenset(s.totalsegmentator_id for s in ORGANS if s.totalsegmentator_id is not None)
LIVER_ID = next(s.totalsegmentator_id for s in ORGANS if s.id == LIVER)

_BEYOND = 255
"""Stands for every id from 255 up; the task `total` ends at 117."""
_KEPT = np.array([i if i in ORGAN_IDS else 0 for i in range(_BEYOND + 1)], dtype=np.uint8)


class OrganSegmenterError(RuntimeError):
    """A scan's organs cannot be had; the message names the cause and the remedy."""


class OrganSegmenter(Protocol):
    """Outlines the organs on a scan. Can be pickled."""

    @property
    def fingerprint(self) -> str:
        """The settings that decide the result, whatever the scan."""

    def fingerprint_for(self, scan_id: str) -> str:
        """The settings and files that decide the result for one scan."""

    def segment(self, scan_id: str, scan: sitk.Image) -> sitk.Image:
        """Outline the twelve organs.

        Args:
            scan_id: Name of the scan.
            scan: CT in HU.

        Returns:
            The organ mask: uint8, on the scan's grid, 0 or the class id of TotalSegmentator's task
            `total` of one of `anatomy.ORGANS`.

        Raises:
            OrganSegmenterError: There is no organ mask to be had for this scan.
        """


def checked_organ_mask(mask: sitk.Image, scan: sitk.Image, name: str, remedy: str) -> sitk.Image:
    """Check a segmentation against its scan and keep the twelve organs.

    Args:
        mask: Values are class ids of TotalSegmentator's task `total`.
        scan: The scan it belongs to.
        name: What the mask is, with the scan's name, for messages.
        remedy: What to do when the mask does not fit or shows no liver.

    Returns:
        The organ mask: uint8, exactly on the scan's grid, every other class 0.

    Raises:
        OrganSegmenterError: The grids differ, a value is no label, or there is no liver: neither a
            study of liver metastases nor its label maps can use such a mask.
    """
    differences = grid_differences(mask, scan)
    if differences:
        raise OrganSegmenterError(f"{name} is not on its scan's grid: {differences}. {remedy}")
    try:
        labels = labels_zyx(mask, name)
    except ValueError as error:
        raise OrganSegmenterError(f"{error} {remedy}") from error
    organs = replace_labels(np.minimum(labels, _BEYOND), _KEPT)
    if not (organs == LIVER_ID).any():
        raise OrganSegmenterError(f"{name} has no liver (class id {LIVER_ID}). {remedy}")
    return image_like(organs, scan)
