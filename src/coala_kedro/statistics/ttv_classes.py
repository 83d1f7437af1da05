"""Whether model and consensus put a scan's total tumour volume in the same class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

CLASS_BOUNDS_ML = (1.0, 10.0, 100.0)
"""Between classes of TTV: decades, for the paper's tumour loads span four; none is accepted."""


def class_names(bounds: Sequence[float], unit: str) -> list[str]:
    """Names of the classes that bounds make, such as `< 1 mL`, `1-10 mL`, `>= 10 mL`."""
    return [
        f"< {bounds[0]:g} {unit}",
        *(f"{low:g}-{high:g} {unit}" for low, high in pairwise(bounds)),
        f">= {bounds[-1]:g} {unit}",
    ]


def classify(values: ArrayLike, bounds: Sequence[float]) -> NDArray[np.intp]:
    """The class of each value, 0 … len(bounds); a bound belongs to the class above it."""
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
