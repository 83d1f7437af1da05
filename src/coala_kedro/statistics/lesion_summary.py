"""From one row per model and lesion to how many lesions each model finds, misses and adds."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coala_kedro.statistics.bootstrap import (
    FIGURE_COLUMNS,
    NO_INTERVAL_COUNT,
    Columns,
    figures_with_intervals,
    summarise_groups,
)
from coala_kedro.statistics.estimate import ratio
from coala_kedro.statistics.lesion_matching import SIZE_CLASSES

COLUMNS = ("model", "cohort", "subset", *FIGURE_COLUMNS)
LOW_CONTRAST_HU = 20.0
"""Lesions that differ less from the liver are hard to see; there is no accepted limit."""

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
        scan_metrics: One row per model and scan, with lesions or without: `model`, `cohort`,
            `scan_id`, `patient_id`.
        n_resamples: Bootstrap resamples per model, cohort and subset.
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
    counts = _counts(lesion_metrics)
    scans = scan_metrics[[*_SCAN, "patient_id"]].set_index(_SCAN)
    known = pd.MultiIndex.from_frame(scan_metrics[_SCAN])
    if len(strange := pd.MultiIndex.from_frame(counts[_SCAN]).difference(known)):
        raise ValueError(
            f"Lesions of {len(strange)} scans that have no scan metrics, such as {strange[0]}: "
            "score scans and lesions together."
        )
    sums = {
        subset: counts[chosen].groupby(_SCAN).sum().reindex(scans.index, fill_value=0.0)
        for subset, chosen in _subsets(lesion_metrics, low_contrast_hu).items()
    }
    groups = {
        (*group, subset): partial(
            _summarise, own.join(sums[subset]).reset_index(), n_resamples, seed
        )
        for group, own in scans.groupby(["model", "cohort"], sort=False)
        for subset in sums
    }
    return summarise_groups(groups, COLUMNS)


def _counts(lesions: pd.DataFrame) -> pd.DataFrame:
    """Counts that are added up over lesions."""
    return lesions[_SCAN].assign(
        hits=(lesions["status"] == "hit").astype(float),
        misses=(lesions["status"] == "miss").astype(float),
        false_positives=(lesions["status"] == "false_positive").astype(float),
        dice=lesions["dice"].astype(float).fillna(0.0),
        volume_error_ml=lesions["volume_error_ml"].astype(float).fillna(0.0),
    )


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


def _summarise(scans: pd.DataFrame, n_resamples: int, seed: int) -> pd.DataFrame:
    rows = figures_with_intervals(scans, _figures, n_resamples, seed, _UNDEFINED)
    counts = rows["metric"] == "n_lesions"
    rows[["ci_low", "ci_high"]] = rows[["ci_low", "ci_high"]].mask(counts)
    return rows.assign(note=rows["note"].mask(counts, NO_INTERVAL_COUNT))


def _figures(scans: Columns) -> dict[str, float]:
    hits, misses, false_positives = (
        scans[name].sum() for name in ("hits", "misses", "false_positives")
    )
    return {
        "n_lesions": hits + misses,
        "sensitivity": ratio(hits, hits + misses),
        "precision": ratio(hits, hits + false_positives),
        "f1": ratio(2 * hits, 2 * hits + misses + false_positives),
        "false_positives_per_scan": false_positives / len(scans["patient_id"]),
        "dice_mean": ratio(scans["dice"].sum(), hits),
        "volume_error_ml_mean": ratio(scans["volume_error_ml"].sum(), hits),
    }
