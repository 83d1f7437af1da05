"""Tilted gantries: slices that lie askew on each other, put straight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

AIR_HU = -1024
_STRAIGHT_MM = 0.01


def straighten(image: sitk.Image, positions_mm: Sequence[Sequence[float]]) -> sitk.Image:
    """Move slices within their planes to where they lie, by linear interpolation.

    Args:
        image: CT in HU, as if its slices lay straight above the first (xyz, LPS).
        positions_mm: Of each slice's first voxel, in the image's order.

    Returns:
        CT of the same type, directions and spacings, on a grid that holds all slices; what none
        of them covers is air. The same image if its slices do lie straight.
    """
    row, column, _ = np.reshape(image.GetDirection(), (3, 3)).T
    spacing_yx_mm = np.array(image.GetSpacing())[1::-1]
    from_first_mm = np.subtract(positions_mm, positions_mm[0])
    offsets = from_first_mm @ np.column_stack([column, row]) / spacing_yx_mm  # voxels, yx
    if np.abs(offsets * spacing_yx_mm).max() <= _STRAIGHT_MM:
        return image
    low = np.floor(offsets.min(axis=0)).astype(int)
    margin = np.ceil(offsets.max(axis=0)).astype(int) - low
    voxels = sitk.GetArrayViewFromImage(image)
    whole = voxels.dtype.kind in "iu"
    air_hu = max(AIR_HU, np.iinfo(voxels.dtype).min) if whole else AIR_HU
    straight = np.empty((len(voxels), *(voxels.shape[1:] + margin)), voxels.dtype)
    for plane, offset, moved in zip(voxels, offsets, straight, strict=True):
        wide = np.pad(plane.astype(np.float32), [(0, m) for m in margin], constant_values=air_hu)
        shifted = ndimage.shift(wide, offset - low, order=1, cval=air_hu, mode="grid-constant")
        moved[:] = np.rint(shifted) if whole else shifted
    made = sitk.GetImageFromArray(straight)
    made.SetSpacing(image.GetSpacing())
    made.SetDirection(image.GetDirection())
    made.SetOrigin(image.TransformIndexToPhysicalPoint((int(low[1]), int(low[0]), 0)))
    return made
