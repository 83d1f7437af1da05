"""From one row per model and lesion to how many lesions each model finds and invents."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coala_kedro.statistics.bootstrap import (
    FIGURE_COLUMNS,
    NO_INTERVAL_COUNT,
    Columns,
    figures_with_intervals,
)
from coala_kedro.statistics.lesion_matching import SIZE_CLASSES

COLUMNS = ("model", "cohort", "subset", *FIGURE_COLUMNS)
METRICS = (
    "n_lesions",
    "sensitivity",
    "precision",
    "f1",
    "false_positives_per_scan",
    "dice_mean",
    "volume_error_ml_mean",
)
LOW_CONTRAST_HU = 20.0
"""Lesions that differ less from the liver are hard to see; there is no accepted limit."""

_SUMS = ("hits", "misses", "false_positives", "dice", "volume_error_ml")
_SCAN = ["model", "cohort", "scan_id"]
_UNDEFINED = {
    "sensitivity": "no lesion in the consensus",
    "precision": "no lesion predicted",
    "f1": "no lesion in either",
    "dice_mean": "no lesion found",
    "volume_error_ml_mean": "no lesion found",
}


def summarise_lesions(
    lesion_metrics: pd.DataFrame,
    scan_metrics: pd.DataFrame,
    n_resamples: int,
    seed: int,
    low_contrast_hu: float = LOW_CONTRAST_HU,
) -> pd.DataFrame:
    """Detection of lesions by every model, in every cohort and subset, with 95 % intervals.

    Lesions of all scans are counted together: sensitivity is hits / (hits + misses), precision
    hits / (hits + false positives), F1 2 hits / (2 hits + misses + false positives). Dice and
    volume error are means over hits. A lesion of the consensus belongs to subsets by its own size,
    place and contrast, a false positive by its own, too. Intervals come from drawing patients.

    Args:
        lesion_metrics: One row per model and lesion: `model`, `cohort`, `scan_id` and the columns
            of `lesion_matching.score_lesions`.
        scan_metrics: One row per model and scan: `model`, `cohort`, `scan_id`, `patient_id`; it
            tells of the scans that have no lesion.
        n_resamples: Bootstrap resamples per model and cohort.
        seed: Seed of the bootstrap; models scored on the same scans are resampled alike.
        low_contrast_hu: Lesions whose mean differs from the liver's by less, on either side, have
            low contrast.

    Returns:
        Tidy frame with `COLUMNS`, models and cohorts in the order of `scan_metrics`. `subset` is
        `all`, a size class, `near liver border`, `away from liver border`, `low contrast` or `high
        contrast`; lesions of which border or contrast are not known are in neither, and such
        subsets are left out if they are known of none. `n_scans` and `n_patients` are those of the
        cohort, with lesions or without. `note` says why a figure or its interval is NaN.

    Raises:
        ValueError: A lesion's scan is not in `scan_metrics`.
    """
    subsets = _subsets(lesion_metrics, low_contrast_hu)
    sums = _sums_per_scan(lesion_metrics, subsets)
    scans = pd.MultiIndex.from_frame(scan_metrics[_SCAN])
    if len(strange := sums.index.difference(scans)):
        raise ValueError(
            f"Lesions of {len(strange)} scans that have no scan metrics, such as {strange[0]}: "
            "score scans and lesions together."
        )
    sums = sums.reindex(scans, fill_value=0.0).assign(patient_id=scan_metrics["patient_id"].array)
    parts = [
        _summarise(group, list(subsets), n_resamples, seed).assign(
            model=str(model), cohort=str(cohort)
        )
        for (model, cohort), group in sums.groupby(["model", "cohort"], sort=False)
    ]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _subsets(lesions: pd.DataFrame, low_contrast_hu: float) -> dict[str, NDArray[np.bool_]]:
    """Which lesions belong to each subset."""
    subsets = {"all": np.ones(len(lesions), dtype=bool)}
    for size in SIZE_CLASSES:
        subsets[size] = (lesions["size_class"] == size).to_numpy(dtype=bool)
    near = lesions["near_liver_border"].astype("boolean")
    if near.notna().any():
        subsets["near liver border"] = near.fillna(False).to_numpy(dtype=bool)
        subsets["away from liver border"] = (~near).fillna(False).to_numpy(dtype=bool)
    contrast = lesions["contrast_hu"].abs().to_numpy(dtype=float)
    if not np.isnan(contrast).all():
        subsets["low contrast"] = contrast < low_contrast_hu
        subsets["high contrast"] = contrast >= low_contrast_hu
    return subsets


def _sums_per_scan(lesions: pd.DataFrame, subsets: dict[str, NDArray[np.bool_]]) -> pd.DataFrame:
    """Columns `<subset>/<sum>`, a row for each scan that has a lesion in any subset."""
    status = lesions["status"]
    terms = pd.DataFrame(
        {
            "hits": status == "hit",
            "misses": status == "miss",
            "false_positives": status == "false_positive",
            "dice": lesions["dice"].fillna(0.0),
            "volume_error_ml": lesions["volume_error_ml"].fillna(0.0),
        },
        dtype=float,
    )
    by_subset = [terms.mul(chosen, axis=0).add_prefix(f"{s}/") for s, chosen in subsets.items()]
    return pd.concat([lesions[_SCAN], *by_subset], axis=1).groupby(_SCAN).sum()


def _summarise(
    scans: pd.DataFrame, subsets: list[str], n_resamples: int, seed: int
) -> pd.DataFrame:
    names = [f"{subset}/{metric}" for subset in subsets for metric in METRICS]
    reasons = {name: _UNDEFINED.get(name.partition("/")[2], "") for name in names}

    def figures(drawn: Columns) -> dict[str, float]:
        return dict(zip(names, _figures(drawn, subsets).ravel(), strict=True))

    rows = figures_with_intervals(scans.reset_index(), figures, n_resamples, seed, reasons)
    rows[["subset", "metric"]] = rows["metric"].str.split("/", expand=True)
    counts = rows["metric"] == "n_lesions"
    rows[["ci_low", "ci_high"]] = rows[["ci_low", "ci_high"]].mask(counts)
    return rows.assign(note=rows["note"].mask(counts, NO_INTERVAL_COUNT))


def _figures(scans: Columns, subsets: list[str]) -> NDArray[np.float64]:
    """Figures (subset, metric) of the scans' sums; NaN where there is nothing to divide by."""
    hits, misses, invented, dice, error_ml = (
        np.array([scans[f"{subset}/{part}"].sum() for subset in subsets]) for part in _SUMS
    )
    with np.errstate(invalid="ignore"):
        figures = [
            hits + misses,
            hits / (hits + misses),
            hits / (hits + invented),
            2 * hits / (2 * hits + misses + invented),
            invented / len(scans["patient_id"]),
            dice / hits,
            error_ml / hits,
        ]
    return np.stack(figures, axis=1)
