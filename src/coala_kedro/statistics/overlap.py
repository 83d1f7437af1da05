"""How much a predicted lesion mask overlaps the consensus, and how large both are.

Masks are boolean arrays zyx on one grid. Dice is 2|A∩B| / (|A| + |B|) (Dice 1945). Two empty
masks agree, yet have no Dice: it is NaN, to be counted apart, and never 1 or a dropped failure.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coala_kedro.imaging.lesions import union_box
from coala_kedro.statistics.surface import score_surfaces

MM3_PER_ML = 1000.0

BoolArray = NDArray[np.bool_]

EMPTY_REFERENCE = "reference empty: no error in per cent"


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
    check_masks(reference, predicted)
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


def score_scan(
    reference: BoolArray, predicted: BoolArray, spacing_zyx_mm: tuple[float, float, float]
) -> dict[str, Any]:
    """The numbers of one row of `scan_metrics`: overlap, surfaces and total tumour volumes.

    Where one mask is empty the scan counts as failed, and is not left out: Dice and surface Dice
    are 0, distances the diagonal of the scan.

    Args:
        reference: Consensus mask, boolean zyx.
        predicted: Model's mask on the same grid.
        spacing_zyx_mm: Spacing of z, y and x in mm.

    Returns:
        `dice`, `nsd_1mm`, `nsd_2mm`, `nsd_3mm`, `hd95_mm`, `assd_mm` (all NaN if both masks are
        empty; see `surface.score_surfaces`), `reference_ml`, `predicted_ml`, `volume_error_ml`
        (predicted - reference), `volume_error_percent` (of the reference; NaN if that is empty),
        `reference_voxels`, `predicted_voxels`, `intersection_voxels`, and `note`, why any is NaN.

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
        **score_surfaces(reference, predicted, spacing_zyx_mm, worst_mm=diagonal_mm),
        "reference_ml": voxels[0] * ml_per_voxel,
        "predicted_ml": voxels[1] * ml_per_voxel,
        "volume_error_ml": (voxels[1] - voxels[0]) * ml_per_voxel,
        "volume_error_percent": 100 * (voxels[1] / voxels[0] - 1) if voxels[0] else math.nan,
        "reference_voxels": voxels[0],
        "predicted_voxels": voxels[1],
        "intersection_voxels": voxels[2],
        "note": "" if voxels[0] else "both masks empty" if not voxels[1] else EMPTY_REFERENCE,
    }


def voxel_volume_ml(spacing_zyx_mm: tuple[float, float, float]) -> float:
    """Volume of one voxel in mL.

    Raises:
        ValueError: The spacing is not three positive lengths in mm.
    """
    if len(spacing_zyx_mm) != 3 or not all(0 < step < math.inf for step in spacing_zyx_mm):
        raise ValueError(
            f"Expected the spacing of z, y and x in mm, got {spacing_zyx_mm}: "
            "take it from the scan's header."
        )
    return math.prod(spacing_zyx_mm) / MM3_PER_ML


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
