"""How much a predicted lesion mask overlaps the consensus, and how large both are.

Masks are boolean arrays zyx on one grid. Dice is 2|A∩B| / (|A| + |B|) (Dice 1945). Two empty
masks agree, yet have no Dice: it is NaN, to be counted apart, and never 1 or a dropped failure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MM3_PER_ML = 1000.0

BoolArray = NDArray[np.bool_]


def dice(reference: BoolArray, predicted: BoolArray) -> float:
    """Dice of two masks.

    Args:
        reference: Consensus mask, boolean zyx.
        predicted: Model's mask on the same grid.

    Returns:
        0 to 1; 0 if one mask is empty, NaN if both are.

    Raises:
        TypeError: A mask is not boolean.
        ValueError: The masks differ in shape.
    """
    _check_masks(reference, predicted)
    return pooled_dice(
        np.count_nonzero(reference),
        np.count_nonzero(predicted),
        np.count_nonzero(reference & predicted),
    )


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


def voxel_volume_ml(spacing_mm: tuple[float, float, float]) -> float:
    """Volume of one voxel in mL, from its edges in mm (in any order)."""
    return float(np.prod(spacing_mm)) / MM3_PER_ML


def volume_ml(mask: BoolArray, voxel_ml: float) -> float:
    """Volume of a boolean mask in mL, given the volume of one voxel in mL."""
    return int(np.count_nonzero(mask)) * voxel_ml


def score_scan(reference: BoolArray, predicted: BoolArray, voxel_ml: float) -> dict[str, float]:
    """The numbers of one row of `scan_metrics`: Dice, and total tumour volume by both masks.

    Args:
        reference: Consensus mask, boolean zyx.
        predicted: Model's mask on the same grid.
        voxel_ml: Volume of one voxel in mL.

    Returns:
        `dice` (NaN if both masks are empty), `reference_ml`, `predicted_ml`, `reference_voxels`,
        `predicted_voxels`, `intersection_voxels`.

    Raises:
        TypeError: A mask is not boolean.
        ValueError: The masks differ in shape.
    """
    return {
        "dice": dice(reference, predicted),
        "reference_ml": volume_ml(reference, voxel_ml),
        "predicted_ml": volume_ml(predicted, voxel_ml),
        "reference_voxels": int(np.count_nonzero(reference)),
        "predicted_voxels": int(np.count_nonzero(predicted)),
        "intersection_voxels": int(np.count_nonzero(reference & predicted)),
    }


def _check_masks(reference: BoolArray, predicted: BoolArray) -> None:
    if reference.dtype != bool or predicted.dtype != bool:
        raise TypeError(
            f"Masks must be boolean, got {reference.dtype} and {predicted.dtype}: "
            "compare a label map with the structure's id first."
        )
    if reference.shape != predicted.shape:
        raise ValueError(
            f"The consensus has shape {reference.shape}, the prediction {predicted.shape} (zyx): "
            "bring both onto one grid first."
        )
