"""Where a lesion lies in the liver, and its contrast to the liver."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from coala_kedro.imaging.lesions import Box, union_box
from coala_kedro.statistics.overlap import (
    SLACK_MM,
    BoolArray,
    Spacing,
    check_masks,
    surface_voxels,
)

NEAR_BORDER_MM = 10.0
"""As far from the liver as screening accepts a lesion's voxel."""


class Surroundings:
    """Liver and scan around the lesions of a consensus.

    The consensus' lesions are part of the liver's shape, since a label map has them in its place;
    they are no part of its mean HU. The model's lesions change neither, so that a lesion has the
    same surroundings whichever model is judged.

    Args:
        reference: Consensus' lesions, boolean zyx.
        spacing_zyx_mm: Spacing of z, y and x in mm.
        liver: Liver outside the consensus' lesions, boolean zyx.
        scan_hu: The scan, zyx, in HU.

    Raises:
        TypeError: The liver is not boolean.
        ValueError: The arrays differ in shape.
    """

    def __init__(
        self,
        reference: BoolArray,
        spacing_zyx_mm: Spacing,
        liver: BoolArray | None,
        scan_hu: NDArray[Any] | None,
    ) -> None:
        if scan_hu is not None and scan_hu.shape != reference.shape:
            raise ValueError(
                f"The scan has shape {scan_hu.shape}, the consensus {reference.shape} (zyx): "
                "bring both onto one grid first."
            )
        self._reference, self._spacing_zyx_mm = reference, spacing_zyx_mm
        self._liver, self._scan_hu = None, scan_hu
        self._liver_hu = math.nan
        if liver is None:
            return
        check_masks(reference, liver, name="liver")
        box = union_box(liver)
        alone = liver[box] & ~reference[box]
        if alone.any():
            self._liver = liver
            if scan_hu is not None:
                self._liver_hu = float(scan_hu[box][alone].mean(dtype=float))

    def contrast_hu(self, box: Box, lesion: BoolArray) -> float:
        """Mean HU of a lesion less the liver's.

        Args:
            box: Part of the scan that holds the lesion.
            lesion: The lesion's mask in that box.

        Returns:
            Negative for a lesion darker than the liver; NaN without scan or liver.
        """
        if self._scan_hu is None:
            return math.nan
        return float(self._scan_hu[box][lesion].mean(dtype=float)) - self._liver_hu

    def near_liver_border(self, box: Box, lesion: BoolArray) -> bool | None:
        """Whether a voxel of a lesion lies within 10 mm of the liver's surface, on either side.

        The end of the scan cuts the liver, and is no surface of it.

        Args:
            box: Part of the scan that holds the lesion.
            lesion: The lesion's mask in that box.

        Returns:
            None without liver.
        """
        if self._liver is None:
            return None
        # One voxel more than the distance: it shows whether the last one is surface.
        margins = [math.ceil(NEAR_BORDER_MM / step) + 1 for step in self._spacing_zyx_mm]
        start = [max(axis.start - margin, 0) for axis, margin in zip(box, margins, strict=True)]
        z, y, x = (
            slice(first, axis.stop + margin)
            for first, axis, margin in zip(start, box, margins, strict=True)
        )
        organ = self._liver[z, y, x] | self._reference[z, y, x]
        border = surface_voxels(organ, ends_are_surface=False)
        within = np.zeros(organ.shape, dtype=bool)
        within[tuple(slice(a.start - s, a.stop - s) for a, s in zip(box, start, strict=True))] = (
            lesion
        )
        if within[tuple(border.T)].any():
            return True
        if not len(border):
            return False
        distances_mm, _ = scipy.spatial.KDTree(border * np.array(self._spacing_zyx_mm)).query(
            surface_voxels(within) * np.array(self._spacing_zyx_mm),
            distance_upper_bound=NEAR_BORDER_MM + SLACK_MM,
        )
        return bool(np.isfinite(distances_mm).any())
