"""How much a predicted lesion mask overlaps the consensus, and how far apart their surfaces lie.

Masks are boolean arrays zyx on one grid. Dice is 2|A∩B| / (|A| + |B|) (Dice 1945). Two empty
masks agree, yet have no Dice: it is NaN, to be counted apart, and never 1 or a dropped failure.

The surface of a mask is its voxels with a face towards another voxel that is not in it, or towards
the end of the scan; distances run between centres of voxels. Both are as MONAI has them
(`monai.metrics.get_mask_edges`), so that figures compare with published ones. Distances are exact
Euclidean ones from a k-d tree of the surface voxels: lesions are few and lie apart, and a distance
transform of all that is between them takes ten times as long.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from coala_kedro.imaging.lesions import union_box

BoolArray = NDArray[np.bool_]
Spacing = tuple[float, float, float]

TOLERANCES_MM = (1, 2, 3)
"""Tolerances of the normalised surface Dice."""

SLACK_MM = 1e-5
"""Spacings are rounded in file headers: five voxels of 0.6000000238 mm are within 3 mm."""


def pooled_dice(
    reference_voxels: ArrayLike, predicted_voxels: ArrayLike, intersection_voxels: ArrayLike
) -> float:
    """Dice of all scans' voxels taken together, as if they were one scan.

    Large tumour loads weigh more here than in the mean of per-scan Dice; published models differ
    by up to 0.2 between the two, so the study reports both.

    Args:
        reference_voxels: Consensus voxels, a count or one count per scan.
        predicted_voxels: Predicted voxels, likewise.
        intersection_voxels: Voxels in both, likewise.

    Returns:
        0 to 1; NaN if there is no voxel in any mask.
    """
    total = np.sum(reference_voxels) + np.sum(predicted_voxels)
    return float(2 * np.sum(intersection_voxels) / total) if total else float("nan")


def score_scan(
    reference: BoolArray, predicted: BoolArray, spacing_zyx_mm: Spacing
) -> dict[str, Any]:
    """The numbers of one row of `scan_metrics`: overlap, surfaces and total tumour volumes.

    Where one mask is empty the scan counts as failed, and is not left out: Dice and surface Dice
    are 0, distances the diagonal of the scan.

    Args:
        reference: Consensus mask, boolean zyx.
        predicted: Model's mask on the same grid.
        spacing_zyx_mm: Spacing of z, y and x in mm.

    Returns:
        `dice`; `nsd_1mm`, `nsd_2mm`, `nsd_3mm`: normalised surface Dice, the share of both
        surfaces' voxels within the tolerance of the other surface (Nikolov et al. 2021,
        10.2196/26151, with voxels for areas); `hd95_mm`: the larger of the 95th percentiles of the
        distances from either surface; `assd_mm`: average symmetric surface distance, the mean over
        both surfaces' voxels; all of these NaN if both masks are empty. `reference_ml`,
        `predicted_ml`, `volume_error_ml` (predicted - reference), `volume_error_percent` (of the
        reference; NaN if that is empty), `reference_voxels`, `predicted_voxels`,
        `intersection_voxels`, and `note`, why any is NaN.

    Raises:
        TypeError: A mask is not boolean.
        ValueError: The masks differ in shape, or the spacing is not three positive lengths.
    """
    check_masks(reference, predicted)
    ml_per_voxel = voxel_volume_ml(spacing_zyx_mm)
    diagonal_mm = math.hypot(*np.multiply(reference.shape, spacing_zyx_mm))
    box = union_box(reference, predicted)
    reference, predicted = reference[box], predicted[box]
    voxels = [int(np.count_nonzero(m)) for m in (reference, predicted, reference & predicted)]
    return {
        "dice": pooled_dice(*voxels),
        **_score_surfaces(reference, predicted, spacing_zyx_mm, worst_mm=diagonal_mm),
        "reference_ml": voxels[0] * ml_per_voxel,
        "predicted_ml": voxels[1] * ml_per_voxel,
        "volume_error_ml": (voxels[1] - voxels[0]) * ml_per_voxel,
        "volume_error_percent": 100 * (voxels[1] / voxels[0] - 1) if voxels[0] else math.nan,
        "reference_voxels": voxels[0],
        "predicted_voxels": voxels[1],
        "intersection_voxels": voxels[2],
        "note": ""
        if voxels[0]
        else "both masks empty"
        if not voxels[1]
        else "reference empty: no error in per cent",
    }


def _score_surfaces(
    reference: BoolArray, predicted: BoolArray, spacing_zyx_mm: Spacing, worst_mm: float
) -> dict[str, float]:
    names = [f"nsd_{tolerance}mm" for tolerance in TOLERANCES_MM]
    n_empty = (not reference.any()) + (not predicted.any())
    if n_empty:
        overlap, distance_mm = (math.nan, math.nan) if n_empty == 2 else (0.0, worst_mm)
        return dict.fromkeys(names, overlap) | dict.fromkeys(("hd95_mm", "assd_mm"), distance_mm)
    here, there = (surface_voxels(m) * np.asarray(spacing_zyx_mm) for m in (reference, predicted))
    distances_mm = _nearest_mm(here, there), _nearest_mm(there, here)
    both = np.concatenate(distances_mm)
    within = [float(np.mean(both <= tolerance + SLACK_MM)) for tolerance in TOLERANCES_MM]
    return dict(zip(names, within, strict=True)) | {
        "hd95_mm": float(max(np.percentile(d, 95) for d in distances_mm)),
        "assd_mm": float(both.mean()),
    }


def _nearest_mm(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    # Large leaves and median-free splits: a third of the time for a tree that is used once.
    return scipy.spatial.KDTree(others, leafsize=32, balanced_tree=False).query(points)[0]


def surface_voxels(mask: BoolArray, *, ends_are_surface: bool = True) -> NDArray[np.signedinteger]:
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


def voxel_volume_ml(spacing_zyx_mm: Spacing) -> float:
    """Volume of one voxel in mL.

    Args:
        spacing_zyx_mm: Spacing of z, y and x in mm.

    Raises:
        ValueError: The spacing is not three positive lengths in mm.
    """
    if len(spacing_zyx_mm) != 3 or not all(0 < step < math.inf for step in spacing_zyx_mm):
        raise ValueError(
            f"Expected the spacing of z, y and x in mm, got {spacing_zyx_mm}: "
            "take it from the scan's header."
        )
    return math.prod(spacing_zyx_mm) / 1000


def check_masks(reference: BoolArray, other: BoolArray, name: str = "prediction") -> None:
    """Refuse what is not a pair of masks on one grid.

    Args:
        reference: Consensus mask.
        other: Mask that is compared with it.
        name: What the other mask is, for the message.

    Raises:
        TypeError: A mask is not boolean.
        ValueError: The masks differ in shape, or are not of three dimensions.
    """
    if reference.dtype != bool or other.dtype != bool:
        raise TypeError(
            f"Masks must be boolean, got {reference.dtype} and {other.dtype} ({name}): "
            "compare a label map with the structure's id first."
        )
    if reference.shape != other.shape or reference.ndim != 3:
        raise ValueError(
            f"The consensus has shape {reference.shape}, the {name} {other.shape} (zyx): "
            "bring both onto one grid of three dimensions first."
        )
