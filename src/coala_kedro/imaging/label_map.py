"""Label maps: twelve organs and CRLM in one volume, with the ids of `coala_kedro.anatomy`."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from coala_kedro.anatomy import BACKGROUND, CRLM, ORGANS
from coala_kedro.imaging.geometry import grid_differences, image_like, labels_zyx, replace_labels


def compose_label_map(organs: sitk.Image, lesions: sitk.Image) -> sitk.Image:
    """Lay lesions over organs.

    Args:
        organs: Organ mask with the class ids of TotalSegmentator's task `total`; ids of structures
            that the study does not use become background.
        lesions: Lesion mask on the same grid; nonzero is CRLM, wherever it lies.

    Returns:
        Label map, uint8, on the organs' grid.

    Raises:
        ValueError: The two are on different grids, or hold values that are no labels.
    """
    if differences := grid_differences(lesions, organs):
        raise ValueError(
            f"The lesion mask is not on the organ mask's grid: {'; '.join(differences)}. "
            "Both must lie on their scan's grid."
        )
    organ_ids = labels_zyx(organs, "The organ mask")
    table = np.full(max(int(organ_ids.max()) + 1, 256), BACKGROUND, dtype=np.uint8)
    for organ in ORGANS:
        table[organ.totalsegmentator_id] = organ.id
    label_map = replace_labels(organ_ids, table)
    label_map[labels_zyx(lesions, "The lesion mask") != 0] = CRLM
    return image_like(label_map, organs)


def crlm_mask(label_map: sitk.Image) -> np.ndarray:
    """Which voxels of a label map are CRLM, as a bool array (z, y, x).

    Args:
        label_map: Label map of the study's structures.
    """
    return sitk.GetArrayViewFromImage(label_map) == CRLM
