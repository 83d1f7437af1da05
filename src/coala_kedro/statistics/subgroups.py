"""Scans by class: results on every scanner, slice thickness, tumour load and number of lesions.

And whether model and consensus put a scan's total tumour volume (TTV) in the same class.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from coala_kedro.statistics.bootstrap import (
    FIGURE_COLUMNS,
    Columns,
    figures_with_intervals,
    summarise_groups,
)
from coala_kedro.statistics.estimate import NAN, mean, ratio

CLASS_BOUNDS_ML = (1.0, 10.0, 100.0)
"""Between classes of TTV: decades, for the paper's tumour loads span four; none is accepted."""
SLICE_BOUNDS_MM = (2.0, 4.0)
"""Thin, usual and thick slices; the public collection has 0.8 to 7.5 mm."""
LESION_BOUNDS = (1, 2, 6)
"""None, one, a few, many lesions; 10.1186/s12957-022-02700-4 has 2-4 and 5 or more."""

COLUMNS = ("model", "cohort", "grouping", "group", *FIGURE_COLUMNS)
_UNKNOWN = "not recorded"
_UNDEFINED = {
    "dice_mean": "both masks empty in every scan",
    "sensitivity": "no lesion in the consensus",
    "volume_bias_percent": "no lesion in the consensus",
}


def summarise_subgroups(
    scan_metrics: pd.DataFrame,
    n_resamples: int,
    seed: int,
    ttv_bounds_ml: Sequence[float] = CLASS_BOUNDS_ML,
    slice_bounds_mm: Sequence[float] = SLICE_BOUNDS_MM,
    lesion_bounds: Sequence[int] = LESION_BOUNDS,
) -> pd.DataFrame:
    """Dice, sensitivity and bias of every model in groups of scans.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `scan_id`, `patient_id`,
            `dice`, `reference_ml`, `predicted_ml`, `n_lesions`, `n_misses`, and where they are
            known `scanner` and `slice_thickness_mm`.
        n_resamples: Bootstrap resamples over patients per group.
        seed: Seed of the bootstrap.
        ttv_bounds_ml: Between classes of the consensus' total tumour volume.
        slice_bounds_mm: Between classes of slice thickness.
        lesion_bounds: Between classes of the number of lesions in the consensus.

    Returns:
        Tidy frame with `COLUMNS`. `grouping` is `scanner`, `slice thickness`, `TTV` or `lesions`;
        groups without a scan have no row, scans of which nothing is known are in `not recorded`.
        Metrics: `dice_mean`, `sensitivity`, `volume_bias_ml`, `volume_bias_percent`. `note` says
        why a figure or its interval is NaN.
    """
    classes = {
        "slice thickness": (
            "slice_thickness_mm",
            slice_bounds_mm,
            class_names(slice_bounds_mm, "mm"),
        ),
        "TTV": ("reference_ml", ttv_bounds_ml, class_names(ttv_bounds_ml, "mL")),
        "lesions": ("n_lesions", lesion_bounds, _count_names(lesion_bounds)),
    }
    labels: dict[str, pd.Series] = {
        "scanner": _known(scan_metrics, "scanner").astype(object).fillna(_UNKNOWN).astype(str)
    }
    for grouping, (column, bounds, names) in classes.items():
        values = _known(scan_metrics, column).astype(float)
        of_scan = pd.cut(values, [-np.inf, *bounds, np.inf], right=False, labels=names)
        labels[grouping] = of_scan.cat.add_categories(_UNKNOWN).fillna(_UNKNOWN)
    groups = {
        (*about, grouping, group): partial(
            figures_with_intervals, rows, _figures, n_resamples, seed, _UNDEFINED
        )
        for about, scans in scan_metrics.groupby(["model", "cohort"], sort=False)
        for grouping, of_scan in labels.items()
        for group, rows in scans.groupby(of_scan.loc[scans.index], sort=True, observed=True)
    }
    return summarise_groups(groups, COLUMNS)


def _known(scans: pd.DataFrame, column: str) -> pd.Series:
    return scans[column] if column in scans else pd.Series(NAN, scans.index)


def _count_names(bounds: Sequence[int]) -> list[str]:
    """Classes of whole numbers, such as 0, 1, 2-5 and 6 or more."""
    classes = [
        f"{low}" if high - low == 1 else f"{low}-{high - 1}" for low, high in pairwise([0, *bounds])
    ]
    return [*classes, f"{bounds[-1]} or more"]


def _figures(scans: Columns) -> dict[str, float]:
    error_ml = scans["predicted_ml"] - scans["reference_ml"]
    lesions, missed = scans["n_lesions"].sum(), scans["n_misses"].sum()
    return {
        "dice_mean": mean(scans["dice"][~np.isnan(scans["dice"])]),
        "sensitivity": ratio(lesions - missed, lesions),
        "volume_bias_ml": mean(error_ml),
        "volume_bias_percent": ratio(100 * error_ml.sum(), scans["reference_ml"].sum()),
    }


def class_names(bounds: Sequence[float], unit: str) -> list[str]:
    """Names of the classes between bounds, such as `< 1 mL`, `1-10 mL`, `>= 10 mL`.

    Args:
        bounds: At least one, rising.
        unit: Of the bounds.
    """
    return [
        f"< {bounds[0]:g} {unit}",
        *(f"{low:g}-{high:g} {unit}" for low, high in pairwise(bounds)),
        f">= {bounds[-1]:g} {unit}",
    ]


def classify(values: ArrayLike, bounds: Sequence[float]) -> NDArray[np.intp]:
    """The class of each value, from 0 to len(bounds); a bound belongs to the class above it.

    Args:
        values: Numbers, of shape (N,).
        bounds: Between the classes, rising.
    """
    return np.searchsorted(np.asarray(bounds, dtype=float), np.asarray(values), side="right")


def weighted_kappa(reference: ArrayLike, predicted: ArrayLike, n_classes: int) -> float:
    """Cohen's kappa with linear weights (Cohen 1968, Psychological Bulletin 70(4), 213-220).

    Args:
        reference: The consensus' class of each scan, 0 … n_classes - 1.
        predicted: The model's class of each scan.
        n_classes: Number of classes.

    Returns:
        1 for perfect concordance, 0 for chance; NaN without scans or if all classes are one.
    """
    first, second = np.asarray(reference), np.asarray(predicted)
    if not len(first):
        return float("nan")
    marginals = [np.bincount(side, minlength=n_classes) / len(first) for side in (first, second)]
    steps = np.abs(np.subtract.outer(np.arange(n_classes), np.arange(n_classes)))
    by_chance = float(marginals[0] @ steps @ marginals[1])
    return 1 - float(np.abs(first - second).mean()) / by_chance if by_chance else float("nan")


def class_table(scan_metrics: pd.DataFrame, bounds_ml: Sequence[float]) -> pd.DataFrame:
    """How many scans are in which class for consensus and model.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `reference_ml`, `predicted_ml`.
        bounds_ml: Bounds of the classes in mL, rising.

    Returns:
        `model, cohort, reference_class, predicted_class, n_scans`, every pair of classes.
    """
    names = class_names(bounds_ml, "mL")
    rows = []
    for (model, cohort), scans in scan_metrics.groupby(["model", "cohort"], sort=False):
        classes = [classify(scans[f"{side}_ml"], bounds_ml) for side in ("reference", "predicted")]
        counts = np.zeros((len(names), len(names)), dtype=int)
        np.add.at(counts, tuple(classes), 1)
        rows += [
            (model, cohort, reference, predicted, counts[i, j])
            for i, reference in enumerate(names)
            for j, predicted in enumerate(names)
        ]
    columns = ["model", "cohort", "reference_class", "predicted_class", "n_scans"]
    return pd.DataFrame(rows, columns=columns)
