"""The interface of organ segmenters, and the form of organ masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import SimpleITK as sitk

from coala_kedro.anatomy import LIVER, ORGANS
from coala_kedro.imaging.geometry import image_like, labels_zyx, paste_on_grid, replace_labels

CLASS_IDS = {s.name: s.totalsegmentator_id for s in ORGANS if s.totalsegmentator_id is not None}
"""Class ids of TotalSegmentator's task `total` by the name that they and we use."""
ORGAN_IDS = frozenset(CLASS_IDS.values())
LIVER_ID = CLASS_IDS[next(s.name for s in ORGANS if s.id == LIVER)]
SPLEEN_ID = CLASS_IDS["spleen"]
EXPECTED_CENTRES_MM = {
    CLASS_IDS[name]: centre_mm
    for name, centre_mm in {
        "liver": (0.0, 0.0, 0.0),
        "spleen": (175.0, 50.0, 0.0),
        "stomach": (110.0, -30.0, 0.0),
        "pancreas": (95.0, -5.0, -25.0),
        "adrenal_gland_right": (45.0, 35.0, -5.0),
        "adrenal_gland_left": (115.0, 35.0, 0.0),
        "kidney_right": (5.0, 65.0, -55.0),
        "kidney_left": (135.0, 65.0, -45.0),
        "duodenum": (45.0, 0.0, -55.0),
        "colon": (75.0, -30.0, -60.0),
        "small_bowel": (95.0, 0.0, -90.0),
    }.items()
}
"""Centres of organs in an adult on the back, from the liver's (LPS), by class id: of a CT of the
upper abdomen by TotalSegmentator, with kidneys and bowel as far down as a whole abdomen has them.
They need be right by some 30 mm only, see `imaging.arrangement`; the gallbladder is left out
because it lies now in, now below the liver."""

PhaseName = Literal["native", "arterial_early", "arterial_late", "portal_venous"]
OrganMaskFault = Literal[
    "organ_mask_absent", "organ_mask_unreadable", "organ_mask_grid", "organ_mask_values"
]


class OrganSegmenterError(RuntimeError):
    """A scan's organs cannot be had; the message names the cause and the remedy."""


class OrganMaskError(OrganSegmenterError):
    """One scan's organ mask cannot be used; other scans' masks may be right.

    Attributes:
        code: The check of screening that it fails.
    """

    def __init__(self, message: str, code: OrganMaskFault) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[OrganMaskError], tuple[str, OrganMaskFault]]:
        """Keep the code on the way between processes."""
        return type(self), (str(self), self.code)


@dataclass(frozen=True)
class Phase:
    """A contrast phase.

    Attributes:
        name: A delayed phase is called `portal_venous` too, with a probability of 0.3.
        probability: 0.3, 0.7 or 1: how far the time since the injection lies from the next phase.
    """

    name: PhaseName
    probability: float


class OrganSegmenter(Protocol):
    """Outlines the organs on a scan. Can be pickled."""

    @property
    def fingerprint(self) -> str:
        """The settings that decide the result, whatever the scan."""

    def fingerprint_for(self, scan_id: str) -> str:
        """Fingerprint of the settings and files that decide the result for one scan.

        Args:
            scan_id: The scan.
        """
        return self.fingerprint

    def check(self, scan_id: str, scan: sitk.Image) -> None:
        """Make sure that the scan's organ mask can be used, where it has been made before.

        Args:
            scan_id: The scan.
            scan: CT of the scan.

        Raises:
            OrganMaskError: It cannot be used.
        """

    def require(self, *, phase: bool) -> None:
        """Make sure, before the first scan is read, that all is there which it needs.

        Args:
            phase: Whether contrast phases will be asked for.

        Raises:
            OrganSegmenterError: Something is missing.
        """

    @property
    def tells_phase(self) -> bool:
        """Whether it can tell a scan's contrast phase."""
        return False

    def contrast_phase(self, scan_id: str, scan: sitk.Image) -> Phase | None:
        """The scan's contrast phase; None if the scan does not show it.

        Args:
            scan_id: The scan.
            scan: CT of the scan.

        Raises:
            OrganSegmenterError: It cannot be computed.
        """
        return None

    def segment(self, scan_id: str, scan: sitk.Image) -> sitk.Image:
        """Outline the twelve organs.

        Args:
            scan_id: Name of the scan.
            scan: CT in HU.

        Returns:
            The organ mask: uint8, on the scan's grid, 0 or the class id of TotalSegmentator's task
            `total` of one of `anatomy.ORGANS`. It may lack organs, the liver too.

        Raises:
            OrganSegmenterError: There is no organ mask to be had for this scan.
        """


def labels_on_grid(
    mask: sitk.Image, scan: sitk.Image, name: str, remedy: str, *, resample: bool = False
) -> np.ndarray:
    """Put a mask on its scan's grid, after checking that its values are labels.

    Args:
        mask: On the scan's grid, or on a part of it (cropped, flipped, axes exchanged).
        scan: The scan it belongs to.
        name: What the mask is, with the scan's name, for messages.
        remedy: What to do when the mask does not fit.
        resample: Take the nearest voxel of a mask on any other grid.

    Returns:
        Labels (z, y, x), 0 where the mask does not reach.

    Raises:
        OrganMaskError: The mask is on another grid, or a value is no label.
    """
    if mask.GetNumberOfComponentsPerPixel() != 1:
        n_values = mask.GetNumberOfComponentsPerPixel()
        raise OrganMaskError(f"{name} has {n_values} values a voxel. {remedy}", "organ_mask_values")
    try:
        placed = paste_on_grid(mask, scan, resample=resample)
    except ValueError as error:
        message = f"{name} is not on its scan's grid: {error} {remedy}"
        raise OrganMaskError(message, "organ_mask_grid") from None
    try:
        return labels_zyx(placed, name)
    except ValueError as error:
        raise OrganMaskError(f"{error} {remedy}", "organ_mask_values") from None


def organ_mask(
    labels: np.ndarray, scan: sitk.Image, class_ids: Mapping[int, int] | None = None
) -> sitk.Image:
    """Make the organ mask of labels: of the twelve organs only.

    Args:
        labels: Labels (z, y, x) on the scan's grid.
        scan: The scan.
        class_ids: Class ids of the task `total` by label; by default the labels are class ids.

    Returns:
        The organ mask: uint8, exactly on the scan's grid.
    """
    known = class_ids or {organ: organ for organ in ORGAN_IDS}
    beyond = max(known) + 1
    table = np.zeros(beyond + 1, dtype=np.uint8)
    for label, class_id in known.items():
        table[label] = class_id
    if labels.max(initial=0) > beyond:
        labels = np.minimum(labels, beyond)
    return image_like(replace_labels(labels, table), scan)
