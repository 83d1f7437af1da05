"""From one row per model and scan to the study's figures, and to the paper's Table 2."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coala_kedro.cohort import TIMEPOINTS
from coala_kedro.statistics.agreement import band, bland_altman, intraclass_correlation, welch
from coala_kedro.statistics.bootstrap import Columns, columns_of, patient_bootstrap
from coala_kedro.statistics.overlap import pooled_dice

SUBSETS = ("all", *TIMEPOINTS)
COLUMNS = (
    "model",
    "cohort",
    "subset",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n_scans",
    "n_patients",
)
_PRE_AGAINST_POST = ("dice_post_minus_pre", "welch_p")
_VOLUMES = ("reference_ml", "predicted_ml", "reference_voxels", "predicted_voxels")
_SURFACES = ("nsd_1mm", "nsd_2mm", "nsd_3mm", "hd95_mm", "assd_mm")
_NAN = float("nan")

Figures = dict[str, float]


def summarise(scan_metrics: pd.DataFrame, n_resamples: int, seed: int) -> pd.DataFrame:
    """Every figure of every model, cohort and subset, each with its 95 % interval.

    All intervals come from drawing patients (`patient_bootstrap`), those of the ICC too: tumour
    volumes are so skewed that the F-based interval of the ICC, which takes them as normal, covered
    0.68 in a simulation of 20 scans of 10 patients where this one covered 0.87. Counts, extremes
    and Welch's p have no interval.

    Dice figures rest on the scans that have a Dice; those where model and consensus both found
    nothing are counted in `n_both_empty`. `*_iqr` is the interquartile range as one number, as in
    the paper; `ttv_*` is total tumour volume; `volume_bias_percent` is the mean bias over the mean
    consensus volume.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `patient_id`, `timepoint`,
            `dice`, `nsd_1mm`, `nsd_2mm`, `nsd_3mm`, `hd95_mm`, `assd_mm`, `reference_ml`,
            `predicted_ml`, `reference_voxels`, `predicted_voxels`, `intersection_voxels`.
        n_resamples: Bootstrap resamples per model, cohort and subset.
        seed: Seed of the bootstrap; models scored on the same scans are resampled alike.

    Returns:
        Tidy frame with `COLUMNS`, models and cohorts in the order given. `subset` is `all`, `pre`
        or `post`; `n_scans` and `n_patients` are those the figure rests on. What is not defined
        (no scan, too few patients) is NaN.
    """
    parts = []
    for (model, cohort), scans in scan_metrics.groupby(["model", "cohort"], sort=False):
        for subset in SUBSETS:
            chosen = scans if subset == "all" else scans[scans["timepoint"] == subset]
            rows = _summarise_subset(chosen, n_resamples, seed)
            if subset != "all":
                rows = rows[~rows["metric"].isin(_PRE_AGAINST_POST)]
            parts.append(rows.assign(model=str(model), cohort=str(cohort), subset=subset))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _summarise_subset(scans: pd.DataFrame, n_resamples: int, seed: int) -> pd.DataFrame:
    scored = scans[scans["dice"].notna()]
    rows = [
        _with_intervals(scored, _dice_figures, n_resamples, seed),
        _with_intervals(scored, _surface_figures, n_resamples, seed),
        _without_intervals(scored, {"welch_p": welch(*_before_and_after(columns_of(scored))).p}),
        _without_intervals(scans, {"n_both_empty": len(scans) - len(scored)}),
        _with_intervals(scans, _volume_figures, n_resamples, seed),
        _without_intervals(scans, _volume_extremes(scans)),
    ]
    return pd.concat(rows)


def _with_intervals(
    scans: pd.DataFrame, figures: Callable[[Columns], Figures], n_resamples: int, seed: int
) -> pd.DataFrame:
    low, high = patient_bootstrap(
        scans, lambda drawn: list(figures(drawn).values()), n_resamples, seed
    )
    return _without_intervals(scans, figures(columns_of(scans))).assign(ci_low=low, ci_high=high)


def _without_intervals(scans: pd.DataFrame, figures: Figures) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "metric": list(figures),
            "value": np.array(list(figures.values()), dtype=float),
            "ci_low": _NAN,
            "ci_high": _NAN,
            "n_scans": len(scans),
            "n_patients": scans["patient_id"].nunique(),
        }
    )


def _dice_figures(scans: Columns) -> Figures:
    dice = scans["dice"]
    before, after = _before_and_after(scans)
    first, median, third = _quartiles(dice)
    return {
        "dice_mean": _mean(dice),
        "dice_median": median,
        "dice_iqr": third - first,
        "dice_pooled": pooled_dice(
            scans["reference_voxels"], scans["predicted_voxels"], scans["intersection_voxels"]
        ),
        "dice_post_minus_pre": _mean(after) - _mean(before),
    }


def _surface_figures(scans: Columns) -> Figures:
    values = np.column_stack([scans[name] for name in _SURFACES])
    _, median, _ = _quartiles(values)
    mean = values.mean(axis=0) if len(values) else np.full(len(_SURFACES), _NAN)
    figures = {f"{name}_mean": mean[n] for n, name in enumerate(_SURFACES)}
    return figures | {f"{name}_median": median[n] for n, name in enumerate(_SURFACES)}


def _volume_figures(scans: Columns) -> Figures:
    reference, predicted = scans["reference_ml"], scans["predicted_ml"]
    icc = intraclass_correlation(reference, predicted)
    agreement = bland_altman(reference, predicted)
    total = reference.sum()
    figures = {
        "icc_consistency": icc.consistency.value,
        "icc_agreement": icc.agreement.value,
        "volume_bias_ml": agreement.bias_ml.value,
        "volume_bias_percent": 100 * (predicted.sum() - total) / total if total else _NAN,
        "volume_limit_lower_ml": agreement.lower_ml.value,
        "volume_limit_upper_ml": agreement.upper_ml.value,
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


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else _NAN


def table_2(summary: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 2, the models of each cohort side by side.

    Args:
        summary: As `summarise` returns it.

    Returns:
        Text: column `figure`, then one column per cohort and model, `<cohort>, <model>`. Figures
        that are not defined read `–`.
    """
    table = {"figure": [label for label, _, _ in _TABLE_2_ROWS]}
    for cohort in summary["cohort"].unique():
        for model in summary["model"].unique():
            rows = summary[(summary["cohort"] == cohort) & (summary["model"] == model)]
            if len(rows):
                table[f"{cohort}, {model}"] = _table_2_column(rows)
    return pd.DataFrame(table)


def _table_2_column(rows: pd.DataFrame) -> list[str]:
    fields: dict[str, dict[str, Any]] = {
        subset: {str(row.metric): row for row in rows[rows["subset"] == subset].itertuples()}
        for subset in SUBSETS
    }
    for kind in ("icc_consistency", "icc_agreement"):
        fields["all"][f"{kind}_band"] = band(fields["all"][kind].value)
    texts = (template.format(**fields[subset]) for _, subset, template in _TABLE_2_ROWS)
    dashed = (re.sub(r"[+-]?\bnan\b", "–", text) for text in texts)
    return ["–" if text.startswith("–") else text for text in dashed]


def _with_ci(metric: str, digits: str) -> str:
    value, low, high = (f"{{{metric}.{part}:{digits}}}" for part in ("value", "ci_low", "ci_high"))
    return f"{value} ({low} to {high})"


def _with_iqr(metric: str, digits: str) -> str:
    return f"{{{metric}_median.value:{digits}}} ({{{metric}_iqr.value:{digits}}})"


def _volume_rows() -> Iterator[tuple[str, str, str]]:
    raters = {"model": "predicted", "consensus": "reference"}
    units = {"voxels": ("voxels", ",.0f"), "mL": ("ml", ",.1f")}
    for unit, (suffix, digits) in units.items():
        volumes = {rater: f"ttv_{prefix}_{suffix}" for rater, prefix in raters.items()}
        for rater, volume in volumes.items():
            yield f"TTV, {unit}, median (IQR), {rater}", "all", _with_iqr(volume, digits)
        for word, extreme in (("largest", "max"), ("smallest", "min")):
            for rater, volume in volumes.items():
                template = f"{{{volume}_{extreme}.value:{digits}}}"
                yield f"TTV, {unit}, {word}, {rater}", "all", template


_DICE_MEAN_IQR = "{dice_mean.value:.2f} ({dice_iqr.value:.2f})"
_TABLE_2_ROWS = (
    ("Scans / patients", "all", "{icc_consistency.n_scans} / {icc_consistency.n_patients}"),
    ("Scans with both masks empty", "all", "{n_both_empty.value:.0f}"),
    ("Dice, mean (IQR)", "all", _DICE_MEAN_IQR),
    ("Dice, mean (95% CI)", "all", _with_ci("dice_mean", ".2f")),
    ("Dice, median", "all", "{dice_median.value:.2f}"),
    ("Dice, voxels of all scans pooled", "all", "{dice_pooled.value:.2f}"),
    ("Surface Dice at 3 mm, mean (95% CI)", "all", _with_ci("nsd_3mm_mean", ".2f")),
    (
        "HD95, mm, median (95% CI)",
        "all",
        _with_ci("hd95_mm_median", ".1f"),
    ),
    ("Dice before therapy, mean (IQR)", "pre", _DICE_MEAN_IQR),
    ("Dice after therapy, mean (IQR)", "post", _DICE_MEAN_IQR),
    ("Dice, before against after, Welch's p", "all", "{welch_p.value:.2g}"),
    ("Dice, after minus before (95% CI)", "all", _with_ci("dice_post_minus_pre", "+z.2f")),
    (
        "ICC of TTV, consistency (95% CI)",
        "all",
        _with_ci("icc_consistency", ".2f") + ", {icc_consistency_band}",
    ),
    (
        "ICC of TTV, absolute agreement (95% CI)",
        "all",
        _with_ci("icc_agreement", ".2f") + ", {icc_agreement_band}",
    ),
    ("TTV, mL, mean bias of the model (95% CI)", "all", _with_ci("volume_bias_ml", "+z.1f")),
    ("TTV, %, mean bias of the model (95% CI)", "all", _with_ci("volume_bias_percent", "+z.1f")),
    (
        "TTV, mL, limits of agreement",
        "all",
        "{volume_limit_lower_ml.value:+z.1f} to {volume_limit_upper_ml.value:+z.1f}",
    ),
    *_volume_rows(),
)
"""Label, subset and template over the subset's metrics, row by row."""
