"""The paper's Table 2, from the summary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from coala_kedro.statistics.agreement import band
from coala_kedro.statistics.metric_list import Metric, metrics
from coala_kedro.statistics.summary import SUBSETS

Row = tuple[str, str, str]
"""Label, subset, and a template over the subset's metrics."""


def table_2(summary: pd.DataFrame, further: Sequence[Metric] | None = None) -> pd.DataFrame:
    """The paper's Table 2, the models of each cohort side by side.

    Args:
        summary: As `summarise` returns it.
        further: Metrics of the summary below those of the paper, each with its interval; without
            it, those that the list of metrics puts into `table_2`.

    Returns:
        Text: column `figure`, then one column per cohort and model, `<cohort>, <model>`. Figures
        that are not defined read `–`.
    """
    listed = metrics("table_2") if further is None else further
    rows = (*_PAPERS_ROWS, *map(_row_of, listed))
    table = {"figure": [label for label, _, _ in rows]}
    for cohort in summary["cohort"].unique():
        for model in summary["model"].unique():
            figures = summary[(summary["cohort"] == cohort) & (summary["model"] == model)]
            if len(figures):
                table[f"{cohort}, {model}"] = _column(figures, rows)
    return pd.DataFrame(table)


def _row_of(metric: Metric) -> Row:
    return f"{metric.label} (95% CI)", metric.subset, _with_ci(metric.metric, metric.format)


def _column(figures: pd.DataFrame, rows: Sequence[Row]) -> list[str]:
    fields: dict[str, dict[str, Any]] = {
        subset: {str(row.metric): row for row in figures[figures["subset"] == subset].itertuples()}
        for subset in SUBSETS
    }
    for kind in ("icc_consistency", "icc_agreement"):
        fields["all"][f"{kind}_band"] = band(fields["all"][kind].value)
    texts = (template.format(**fields[subset]) for _, subset, template in rows)
    dashed = (re.sub(r"[+-]?\bnan\b", "–", text) for text in texts)
    return ["–" if text.startswith("–") else text for text in dashed]


def _with_ci(metric: str, digits: str) -> str:
    value, low, high = (f"{{{metric}.{part}:{digits}}}" for part in ("value", "ci_low", "ci_high"))
    return f"{value} ({low} to {high})"


def _with_iqr(metric: str, digits: str) -> str:
    return f"{{{metric}_median.value:{digits}}} ({{{metric}_iqr.value:{digits}}})"


def _volume_rows() -> Iterator[Row]:
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
_PAPERS_ROWS: tuple[Row, ...] = (
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
