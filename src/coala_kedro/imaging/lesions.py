"""Single lesions: the connected parts of a mask, where they lie and how large they are."""

from __future__ import annotations

import cc3d
import numpy as np

Box = tuple[slice, slice, slice]
"""Part of an array (z, y, x)."""


def label_lesions(mask_zyx: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the lesions of a mask.

    Args:
        mask_zyx: Array (z, y, x); nonzero is lesion. Voxels that share a face, an edge or a corner
            belong to one lesion (26-connectivity).

    Returns:
        An unsigned integer array (z, y, x), 0 outside lesions and 1 … n within, and n.
    """
    if not mask_zyx.size:  # cc3d gives no integers back
        return np.zeros(mask_zyx.shape, np.uint16), 0
    labels, n_lesions = cc3d.connected_components(mask_zyx != 0, connectivity=26, return_N=True)
    return labels, n_lesions


def lesion_volumes_ml(labels: np.ndarray, n_lesions: int, ml_per_voxel: float) -> np.ndarray:
    """Measure each lesion.

    Args:
        labels: Array (z, y, x) from `label_lesions`.
        n_lesions: Number of lesions.
        ml_per_voxel: Volume of a voxel in mL.

    Returns:
        Volumes in mL, shape (n_lesions,): lesion i + 1 at index i.
    """
    return np.bincount(labels[labels > 0], minlength=n_lesions + 1)[1:] * ml_per_voxel


def union_box(*masks_zyx: np.ndarray) -> Box:
    """The smallest box around all masks: what lies outside has no part in any comparison.

    Args:
        masks_zyx: Boolean arrays (z, y, x) of one shape.

    Returns:
        Slices of z, y and x; all empty if every mask is.
    """
    filled = np.any([mask.any(axis=(1, 2)) for mask in masks_zyx], axis=0)
    z = _range(filled)
    in_plane = np.any([mask[z].any(axis=0) for mask in masks_zyx], axis=0)
    return z, _range(in_plane.any(axis=1)), _range(in_plane.any(axis=0))


def _range(filled: np.ndarray) -> slice:
    at = np.flatnonzero(filled)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


def longest_axial_diameter_mm(
    lesion_zyx: np.ndarray, spacing_zyx_mm: tuple[float, float, float]
) -> float:
    """The longest straight line across a lesion within one axial slice, as radiologists measure it.

    It runs between the outer corners of voxels (the Feret diameter of the voxels as rectangles),
    so that a lesion of one voxel is as wide as the voxel's diagonal. Parts of a lesion that a slice
    cuts apart are measured together.

    Args:
        lesion_zyx: Boolean array (z, y, x) of one lesion.
        spacing_zyx_mm: Spacing of z, y and x in mm.

    Returns:
        Diameter in mm; 0 for an empty mask.
    """
    _, row_mm, column_mm = spacing_zyx_mm
    lesion = lesion_zyx[union_box(lesion_zyx)]
    if not lesion.size:
        return 0.0
    filled = np.asarray(lesion.any(axis=2))
    first = np.where(filled, lesion.argmax(axis=2), lesion.shape[2])
    last = np.where(filled, lesion.shape[2] - 1 - lesion[:, :, ::-1].argmax(axis=2), -1)
    widths_mm = (last.max(axis=1) - first.min(axis=1) + 1) * column_mm
    # No slice is longer than the diagonal of its own width and the lesion's height.
    bounds_mm = np.hypot(widths_mm, lesion.shape[1] * row_mm)
    longest_mm = 0.0
    for plane in np.argsort(-bounds_mm):
        if bounds_mm[plane] <= longest_mm:
            break
        rows = np.flatnonzero(filled[plane])
        # The line joins the left end of one row to the right end of another, or of the same.
        across_mm = (last[plane, rows] - first[plane, rows][:, None] + 1) * column_mm
        down_mm = (np.abs(rows - rows[:, None]) + 1) * row_mm
        longest_mm = max(longest_mm, float(np.hypot(across_mm, down_mm).max(initial=0)))
    return longest_mm
