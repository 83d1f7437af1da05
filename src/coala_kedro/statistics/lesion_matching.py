"""Which lesions of the consensus a model found, one by one.

A lesion is a 26-connected part of a mask. Lesions of consensus and model are matched one to one,
the best overlap first, down to an IoU of 0.1: nnDetection's threshold for detection in three
dimensions (Baumgartner et al. 2021, 10.1007/978-3-030-87240-3_51).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from coala_kedro.imaging.lesions import (
    Box,
    label_lesions,
    lesion_volumes_ml,
    longest_axial_diameter_mm,
    union_box,
)
from coala_kedro.statistics.lesion_surroundings import Surroundings
from coala_kedro.statistics.overlap import BoolArray, Spacing, check_masks, voxel_volume_ml

MIN_IOU = 0.1
"""Least intersection over union of a match."""

SIZE_CLASSES = ("< 10 mm", "10-20 mm", "> 20 mm")
"""By longest axial diameter; 10 mm and 20 mm themselves belong to the middle class."""

COLUMN_TYPES = {
    "lesion": "int64",
    "status": "str",
    "diameter_mm": "float64",
    "size_class": "str",
    "volume_ml": "float64",
    "predicted_ml": "float64",
    "volume_error_ml": "float64",
    "dice": "float64",
    "near_liver_border": "boolean",
    "contrast_hu": "float64",
}


class Match(NamedTuple):
    """A lesion of the consensus and the model's lesion that it was matched with, by label."""

    reference: int
    predicted: int
    shared_voxels: int


def score_lesions(
    reference: BoolArray,
    predicted: BoolArray,
    spacing_zyx_mm: Spacing,
    *,
    liver: BoolArray | None = None,
    scan_hu: NDArray[Any] | None = None,
) -> pd.DataFrame:
    """Every lesion of the consensus, found or missed, and every false positive of the model.

    Args:
        reference: Consensus mask, boolean zyx.
        predicted: Model's mask on the same grid.
        spacing_zyx_mm: Spacing of z, y and x in mm.
        liver: Liver of the consensus' label map, boolean zyx. The consensus' lesions, which lie
            over it there, are liver too.
        scan_hu: The scan, zyx, in HU.

    Returns:
        One row a lesion, those of the consensus first, with the types of `COLUMN_TYPES` even if
        there is none. `lesion` counts from 1; `status` is `hit`, `miss` or `false_positive`.
        `diameter_mm` (longest axial), `size_class`, `volume_ml`, `near_liver_border` (a voxel of
        it lies within 10 mm of the liver's surface, on either side; the end of the scan is no
        such surface) and `contrast_hu` (mean HU less the mean of the liver outside the consensus'
        lesions) are the consensus' lesion's, or the false positive's own; without liver, or scan,
        NA and NaN. `predicted_ml`, `volume_error_ml` (predicted - reference) and `dice` are NaN
        but for hits.

    Raises:
        TypeError: A mask is not boolean.
        ValueError: The arrays differ in shape, or the spacing is not three positive lengths.
    """
    check_masks(reference, predicted)
    ml_per_voxel = voxel_volume_ml(spacing_zyx_mm)
    surroundings = Surroundings(reference, spacing_zyx_mm, liver, scan_hu)
    box = union_box(reference, predicted)
    reference_labels, n_reference = label_lesions(reference[box])
    predicted_labels, n_predicted = label_lesions(predicted[box])
    reference_ml = lesion_volumes_ml(reference_labels, n_reference, ml_per_voxel)
    predicted_ml = lesion_volumes_ml(predicted_labels, n_predicted, ml_per_voxel)
    matches = match_lesions(reference_labels, predicted_labels)
    hits = {match.reference: match for match in matches}
    rows = []
    for label, part, lesion in _each(reference_labels, box):
        row = {"status": "miss", "volume_ml": reference_ml[label - 1]}
        if label in hits:
            row |= _hit(hits[label], reference_ml, predicted_ml, ml_per_voxel)
        rows.append(row | _describe(part, lesion, spacing_zyx_mm, surroundings))
    found = {match.predicted for match in matches}
    for label, part, lesion in _each(predicted_labels, box):
        if label not in found:
            row = {"status": "false_positive", "volume_ml": predicted_ml[label - 1]}
            rows.append(row | _describe(part, lesion, spacing_zyx_mm, surroundings))
    frame = pd.DataFrame(rows, columns=list(COLUMN_TYPES))
    return frame.assign(lesion=range(1, len(frame) + 1)).astype(COLUMN_TYPES)


def match_lesions(reference_labels: NDArray[Any], predicted_labels: NDArray[Any]) -> list[Match]:
    """Pair lesions of consensus and model, each at most once, the best overlap first.

    Args:
        reference_labels: Consensus' lesions zyx, 0 outside and 1 … n within.
        predicted_labels: The model's, likewise.

    Returns:
        The pairs, best first. Among equals the model's lesion with the lower label comes first,
        then the consensus' (as in panoptica).
    """
    n_ref, n_pred = (
        np.bincount(labels[labels > 0], minlength=1)
        for labels in (reference_labels, predicted_labels)
    )
    common = (reference_labels > 0) & (predicted_labels > 0)
    pairs = predicted_labels[common], reference_labels[common]
    ones = np.ones(len(pairs[0]), dtype=int)
    # As a sparse matrix: sums the voxels of each pair, in the order of predicted labels.
    overlaps = (
        scipy.sparse.coo_array((ones, pairs), shape=(len(n_pred), len(n_ref))).tocsr().tocoo()
    )
    pred, ref, shared = overlaps.row, overlaps.col, overlaps.data
    iou = shared / (n_pred[pred] + n_ref[ref] - shared)
    matches: list[Match] = []
    free_ref, free_pred = set(ref.tolist()), set(pred.tolist())
    for i in np.argsort(-iou, kind="stable"):
        match = Match(int(ref[i]), int(pred[i]), int(shared[i]))
        if iou[i] >= MIN_IOU and match.reference in free_ref and match.predicted in free_pred:
            matches.append(match)
            free_ref.remove(match.reference)
            free_pred.remove(match.predicted)
    return matches


def count_lesions(reference: BoolArray, predicted: BoolArray) -> dict[str, int]:
    """How many lesions were found and missed, and how many are false positives.

    Args:
        reference: Mask that the other is judged by, boolean zyx.
        predicted: The other mask on the same grid.

    Returns:
        `n_lesions` (of the reference), `n_hits`, `n_misses`, `n_false_positives`.
    """
    box = union_box(reference, predicted)
    (own, n_own), (drawn, n_drawn) = (label_lesions(mask[box]) for mask in (reference, predicted))
    n_hits = len(match_lesions(own, drawn))
    return {
        "n_lesions": n_own,
        "n_hits": n_hits,
        "n_misses": n_own - n_hits,
        "n_false_positives": n_drawn - n_hits,
    }


def size_class(diameter_mm: float) -> str:
    """The class of size of a lesion, one of `SIZE_CLASSES`.

    Args:
        diameter_mm: Its longest axial diameter.
    """
    small, middle, large = SIZE_CLASSES
    return small if diameter_mm < 10 else middle if diameter_mm <= 20 else large


def _hit(
    match: Match,
    reference_ml: NDArray[np.float64],
    predicted_ml: NDArray[np.float64],
    ml_per_voxel: float,
) -> dict[str, Any]:
    outlined, found = reference_ml[match.reference - 1], predicted_ml[match.predicted - 1]
    return {
        "status": "hit",
        "predicted_ml": found,
        "volume_error_ml": found - outlined,
        "dice": 2 * match.shared_voxels * ml_per_voxel / (outlined + found),
    }


def _describe(
    box: Box,
    lesion: BoolArray,
    spacing_zyx_mm: Spacing,
    surroundings: Surroundings,
) -> dict[str, Any]:
    diameter_mm = longest_axial_diameter_mm(lesion, spacing_zyx_mm)
    return {
        "diameter_mm": diameter_mm,
        "size_class": size_class(diameter_mm),
        "near_liver_border": surroundings.near_liver_border(box, lesion),
        "contrast_hu": surroundings.contrast_hu(box, lesion),
    }


def _each(labels: NDArray[Any], box: Box) -> Iterator[tuple[int, Box, BoolArray]]:
    """Each lesion's label, its box in the scan, and its mask there."""
    for label, part in enumerate(
        scipy.ndimage.find_objects(labels) if labels.size else [], start=1
    ):
        z, y, x = (
            slice(inner.start + outer.start, inner.stop + outer.start)
            for inner, outer in zip(part, box, strict=True)
        )
        yield label, (z, y, x), labels[part] == label
