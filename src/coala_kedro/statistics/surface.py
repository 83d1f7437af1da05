"""How far the surface of a predicted lesion mask lies from the consensus'.

The surface of a mask is its voxels with a face towards another voxel that is not in it, or towards
the end of the scan; distances run between centres of voxels. Both are as MONAI has them
(`monai.metrics.get_mask_edges`), so that figures compare with published ones. Distances are exact
Euclidean ones from a k-d tree of the surface voxels: lesions are few and lie apart, and a distance
transform of all that is between them takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

TOLERANCES_MM = (1, 2, 3)
"""Tolerances of the normalised surface Dice."""

HD_PERCENTILE = 95

SLACK_MM = 1e-5
"""Spacings are rounded in file headers: five voxels of 0.6000000238 mm are within 3 mm."""


def score_surfaces(
    reference: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    spacing_zyx_mm: Sequence[float],
    worst_mm: float,
) -> dict[str, float]:
    """Distances between the surfaces of two masks.

    Args:
        reference: Consensus mask, boolean zyx; may be cropped to both masks' common box.
        predicted: Model's mask on the same grid.
        spacing_zyx_mm: Spacing of z, y and x in mm.
        worst_mm: The distance to give where one mask is empty: the diagonal of the whole scan.

    Returns:
        `nsd_1mm`, `nsd_2mm`, `nsd_3mm`: normalised surface Dice, the share of both surfaces' voxels
        within the tolerance of the other surface (Nikolov et al. 2021, 10.2196/26151, with voxels
        for areas). `hd95_mm`: the larger of the two directed distances' 95th percentiles.
        `assd_mm`: average symmetric surface distance, the mean over both surfaces' voxels.
        All NaN if both masks are empty; 0 and `worst_mm` if one is.
    """
    names = [f"nsd_{tolerance}mm" for tolerance in TOLERANCES_MM]
    n_empty = (not reference.any()) + (not predicted.any())
    if n_empty:
        overlap, distance_mm = (float("nan"), float("nan")) if n_empty == 2 else (0.0, worst_mm)
        return dict.fromkeys(names, overlap) | dict.fromkeys(("hd95_mm", "assd_mm"), distance_mm)
    there, back = surface_distances_mm(reference, predicted, spacing_zyx_mm)
    both = np.concatenate([there, back])
    within = [float(np.mean(both <= tolerance + SLACK_MM)) for tolerance in TOLERANCES_MM]
    return dict(zip(names, within, strict=True)) | {
        "hd95_mm": float(max(np.percentile(d, HD_PERCENTILE) for d in (there, back))),
        "assd_mm": float(both.mean()),
    }


def surface_distances_mm(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing_zyx_mm: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From every surface voxel of one mask to the nearest surface voxel of the other.

    Args:
        first: Boolean zyx, not empty.
        second: Boolean zyx on the same grid, not empty.
        spacing_zyx_mm: Spacing of z, y and x in mm.

    Returns:
        Distances in mm from the first mask's surface, and from the second's.
    """
    here, there = (surface_voxels(mask) * np.asarray(spacing_zyx_mm) for mask in (first, second))
    return _nearest_mm(here, there), _nearest_mm(there, here)


def _nearest_mm(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    # Large leaves and median-free splits: a third of the time for a tree that is used once.
    return KDTree(others, leafsize=32, balanced_tree=False).query(points)[0]


def surface_voxels(
    mask: NDArray[np.bool_], *, ends_are_surface: bool = True
) -> NDArray[np.signedinteger]:
    """Find the surface of a mask.

    Args:
        mask: Boolean zyx.
        ends_are_surface: Voxels at the array's ends are surface. Without, an end is taken to cut
            through what goes on behind it.

    Returns:
        Indices zyx of the surface voxels, shape (n, 3).
    """
    padded = np.pad(mask, 1) if ends_are_surface else np.pad(mask, 1, mode="edge")
    within = mask.copy()
    for axis, size in enumerate(mask.shape):
        for start in (0, 2):
            neighbours = [slice(1, -1)] * 3
            neighbours[axis] = slice(start, start + size)
            within &= padded[tuple(neighbours)]
    return np.argwhere(mask & ~within)
