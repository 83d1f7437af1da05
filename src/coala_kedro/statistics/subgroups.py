"""Whether a model does as well on every scanner, slice thickness, tumour load and lesion count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coala_kedro.statistics.bootstrap import FIGURE_COLUMNS, Columns, figures_with_intervals
from coala_kedro.statistics.estimate import NAN, mean, ratio
from coala_kedro.statistics.ttv_classes import CLASS_BOUNDS_ML, class_names, classify

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
    groupings = {
        "scanner": _named(scan_metrics, "scanner"),
        "slice thickness": _classes(scan_metrics, "slice_thickness_mm", slice_bounds_mm, "mm"),
        "TTV": _classes(scan_metrics, "reference_ml", ttv_bounds_ml, "mL"),
        "lesions": _counts(scan_metrics["n_lesions"], lesion_bounds),
    }
    parts = []
    for (model, cohort), scans in scan_metrics.groupby(["model", "cohort"], sort=False):
        for grouping, group, rows in _groups(scans, groupings):
            figures = figures_with_intervals(rows, _figures, n_resamples, seed, _UNDEFINED)
            about = {"model": str(model), "cohort": str(cohort), "grouping": grouping}
            parts.append(figures.assign(**about, group=group))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _groups(
    scans: pd.DataFrame, groupings: Mapping[str, pd.Series]
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for grouping, labels in groupings.items():
        for group, rows in scans.groupby(labels.loc[scans.index], sort=True, observed=True):
            yield grouping, str(group), rows


def _named(scans: pd.DataFrame, column: str) -> pd.Series:
    known = scans[column] if column in scans else pd.Series(None, scans.index, dtype=object)
    return known.astype(object).where(known.notna(), _UNKNOWN).astype(str)


def _classes(scans: pd.DataFrame, column: str, bounds: Sequence[float], unit: str) -> pd.Series:
    names = [*class_names(bounds, unit), _UNKNOWN]
    values = scans[column].astype(float) if column in scans else pd.Series(NAN, scans.index)
    codes = np.where(values.isna(), len(names) - 1, classify(values.fillna(0.0), bounds))
    return _ordered(codes, names, scans.index)


def _counts(values: pd.Series, bounds: Sequence[int]) -> pd.Series:
    """Classes of whole numbers, such as 0, 1, 2-5 and 6 or more."""
    lows = [0, *bounds]
    names = [
        f"{low}" if high - low == 1 else f"{low}-{high - 1}"
        for low, high in zip(lows, bounds, strict=False)
    ]
    return _ordered(classify(values, bounds), [*names, f"{bounds[-1]} or more"], values.index)


def _ordered(codes: NDArray[np.intp], names: list[str], index: pd.Index) -> pd.Series:
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(names), ordered=True), index)


def _figures(scans: Columns) -> dict[str, float]:
    error_ml = scans["predicted_ml"] - scans["reference_ml"]
    lesions, missed = scans["n_lesions"].sum(), scans["n_misses"].sum()
    return {
        "dice_mean": mean(scans["dice"][~np.isnan(scans["dice"])]),
        "sensitivity": ratio(lesions - missed, lesions),
        "volume_bias_ml": mean(error_ml),
        "volume_bias_percent": ratio(100 * error_ml.sum(), scans["reference_ml"].sum()),
    }
