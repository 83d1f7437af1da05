"""From one row per model and scan to the study's figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coala_kedro.cohort import TIMEPOINTS
from coala_kedro.statistics.agreement import intraclass_correlation, volume_differences
from coala_kedro.statistics.bootstrap import (
    FIGURE_COLUMNS,
    NO_INTERVAL_COUNT,
    NO_SCAN,
    Columns,
    columns_of,
    figure_rows,
    figures_with_intervals,
    summarise_groups,
)
from coala_kedro.statistics.comparisons import welch
from coala_kedro.statistics.estimate import mean, ratio
from coala_kedro.statistics.overlap import pooled_dice
from coala_kedro.statistics.subgroups import CLASS_BOUNDS_ML, classify, weighted_kappa

SUBSETS = ("all", *TIMEPOINTS)
COLUMNS = ("model", "cohort", "subset", *FIGURE_COLUMNS)
_PRE_AGAINST_POST = ("dice_post_minus_pre", "welch_p")
_VOLUMES = ("reference_ml", "predicted_ml", "reference_voxels", "predicted_voxels")
_SURFACES = ("nsd_1mm", "nsd_2mm", "nsd_3mm", "hd95_mm", "assd_mm")
_EXTREME, _TEST = "an extreme: no interval", "a p: no interval"

Figures = dict[str, float]


def summarise(
    scan_metrics: pd.DataFrame,
    n_resamples: int,
    seed: int,
    class_bounds_ml: Sequence[float] = CLASS_BOUNDS_ML,
) -> pd.DataFrame:
    """Every figure of every model, cohort and subset, each with its 95 % interval.

    All intervals come from drawing patients (`patient_bootstrap`), those of the ICC too: tumour
    volumes are so skewed that the F-based interval of the ICC, which takes them as normal, covered
    0.74 in a simulation of 20 scans of 10 patients where this one covered 0.90 (both are in
    `agreement_table`).
    Counts, extremes and Welch's p have no interval.

    Dice figures rest on the scans that have a Dice; those where model and consensus both found
    nothing are counted in `n_both_empty`. `*_iqr` is the interquartile range as one number, as in
    the paper; `ttv_*` is total tumour volume; `volume_bias_percent` is the mean bias over the mean
    consensus volume, `volume_difference_percent` the mean of each scan's difference in per cent of
    the mean of both raters (Bland and Altman's), `volume_slope` the slope of the difference on that
    mean; `ttv_class_kappa` is linearly weighted.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `scan_id`, `patient_id`,
            `timepoint`, `dice`, `nsd_1mm`, `nsd_2mm`, `nsd_3mm`, `hd95_mm`, `assd_mm`,
            `reference_ml`, `predicted_ml`, `reference_voxels`, `predicted_voxels`,
            `intersection_voxels`.
        n_resamples: Bootstrap resamples per model, cohort and subset.
        seed: Seed of the bootstrap; models scored on the same scans are resampled alike.
        class_bounds_ml: Bounds of the classes of TTV, in mL, rising.

    Returns:
        Tidy frame with `COLUMNS`, models and cohorts in the order given. `subset` is `all`, `pre`
        or `post`; `n_scans` and `n_patients` are those the figure rests on. What is not defined
        is NaN; `note` says why a figure or its interval is NaN.
    """
    groups = {
        (*group, subset): partial(
            _summarise_subset,
            scans if subset == "all" else scans[scans["timepoint"] == subset],
            subset,
            n_resamples,
            seed,
            class_bounds_ml,
        )
        for group, scans in scan_metrics.groupby(["model", "cohort"], sort=False)
        for subset in SUBSETS
    }
    return summarise_groups(groups, COLUMNS)


def _summarise_subset(
    scans: pd.DataFrame,
    subset: str,
    n_resamples: int,
    seed: int,
    class_bounds_ml: Sequence[float],
) -> pd.DataFrame:
    scored = scans[scans["dice"].notna()]
    why = _why_undefined(scans, scored)
    before, after = _before_and_after(columns_of(scored))
    rows = [
        figures_with_intervals(scored, _mask_figures, n_resamples, seed, why),
        _plain(scored, {"welch_p": welch(before, after)[2]}, _TEST, why),
        _plain(scans, {"n_both_empty": len(scans) - len(scored)}, NO_INTERVAL_COUNT, why),
        figures_with_intervals(
            scans, lambda drawn: _volume_figures(drawn, class_bounds_ml), n_resamples, seed, why
        ),
        _plain(scans, _volume_extremes(scans), _EXTREME, why),
    ]
    frame = pd.concat(rows)
    if len(scans):
        frame["note"] = frame["note"].replace(NO_SCAN, "both masks empty in every scan")
    if subset != "all":
        frame = frame[~frame["metric"].isin(_PRE_AGAINST_POST)]
        frame["note"] = frame["note"].replace(NO_SCAN, f"no {subset} scan")
    return frame


def _plain(
    scans: pd.DataFrame, figures: Figures, no_interval: str, why: dict[str, str]
) -> pd.DataFrame:
    rows = figure_rows(scans, figures, why)
    return rows.assign(note=rows["note"].where(rows["value"].isna(), no_interval))


def _why_undefined(scans: pd.DataFrame, scored: pd.DataFrame) -> dict[str, str]:
    """Reasons for figures that may be NaN although there are scans."""
    missing = [t for t in TIMEPOINTS if not (scored["timepoint"] == t).any()]
    no_difference = f"no {missing[0]} scan" if missing else "Dice does not vary"
    few = scored["timepoint"].value_counts().reindex(list(TIMEPOINTS), fill_value=0).min() < 2
    icc = "fewer than 3 scans" if len(scans) < 3 else "volumes do not vary"
    spread = "one scan" if len(scans) == 1 else "fewer than 2 scans with CRLM"
    return {
        "dice_post_minus_pre": no_difference,
        "welch_p": "fewer than 2 scans before or after therapy" if few else no_difference,
        "icc_consistency": icc,
        "icc_agreement": icc,
        "volume_bias_percent": "no lesion in the consensus",
        "volume_difference_percent": "both masks empty in every scan",
        "volume_slope": "one scan" if len(scans) == 1 else "volumes do not vary",
        "ttv_class_kappa": "one class only",
        **{
            f"volume_limit_{end}_{unit}": spread
            for end in ("lower", "upper")
            for unit in ("ml", "percent")
        },
    }


def _mask_figures(scans: Columns) -> Figures:
    before, after = _before_and_after(scans)
    first, median, third = _quartiles(scans["dice"])
    figures = {
        "dice_mean": mean(scans["dice"]),
        "dice_median": median,
        "dice_iqr": third - first,
        "dice_pooled": pooled_dice(
            scans["reference_voxels"], scans["predicted_voxels"], scans["intersection_voxels"]
        ),
        "dice_post_minus_pre": mean(after) - mean(before),
    }
    figures |= {f"{name}_mean": mean(scans[name]) for name in _SURFACES}
    medians = _quartiles(np.column_stack([scans[name] for name in _SURFACES]))[1]
    return figures | {f"{name}_median": medians[n] for n, name in enumerate(_SURFACES)}


def _volume_figures(scans: Columns, class_bounds_ml: Sequence[float]) -> Figures:
    reference, predicted = scans["reference_ml"], scans["predicted_ml"]
    differences = volume_differences(reference, predicted)
    bias = {name: estimate.value for name, estimate in differences.items()}
    error_ml = predicted.sum() - reference.sum()
    classes = classify(reference, class_bounds_ml), classify(predicted, class_bounds_ml)
    figures = intraclass_correlation(np.column_stack([reference, predicted])) | {
        "volume_bias_ml": bias.pop("volume_bias_ml"),
        "volume_bias_percent": ratio(100 * error_ml, reference.sum()),
        **bias,
        "ttv_class_kappa": weighted_kappa(*classes, len(class_bounds_ml) + 1),
        "ttv_class_agreement": mean(classes[0] == classes[1]),
    }
    first, median, third = _quartiles(np.column_stack([scans[volume] for volume in _VOLUMES]))
    for position, volume in enumerate(_VOLUMES):
        figures[f"ttv_{volume}_median"] = median[position]
        figures[f"ttv_{volume}_iqr"] = third[position] - first[position]
    return figures


def _volume_extremes(scans: pd.DataFrame) -> Figures:
    extremes = {f"ttv_{volume}_max": scans[volume].max() for volume in _VOLUMES}
    return extremes | {f"ttv_{volume}_min": scans[volume].min() for volume in _VOLUMES}


def _before_and_after(scans: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    after = scans["timepoint"] == "post"
    return scans["dice"][~after], scans["dice"][after]


def _quartiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(values):
        return np.full((3, *values.shape[1:]), np.nan)
    return np.quantile(values, [0.25, 0.5, 0.75], axis=0)
