"""Agreement of model and consensus on volumes: textbook intervals beside those over patients."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from coala_kedro.statistics.agreement import band, intraclass_correlation
from coala_kedro.statistics.bland_altman import (
    bland_altman,
    bland_altman_percent,
    proportional_bias,
)
from coala_kedro.statistics.estimate import NAN, UNDEFINED, Estimate

F, T, NONE = "F", "Student's t", "none"
COLUMNS = (
    "model",
    "cohort",
    "metric",
    "value",
    "interval",
    "ci_low",
    "ci_high",
    "bootstrap_low",
    "bootstrap_high",
    "p",
    "band",
    "n_scans",
    "n_patients",
    "note",
)
_KEYS = ["model", "cohort", "metric"]


def agreement_table(scan_metrics: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Every figure of agreement with both its intervals.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `reference_ml`, `predicted_ml`.
        summary: As `summary.summarise` makes it of them.

    Returns:
        Frame with `COLUMNS`. `ci_low` and `ci_high` are the textbook's, by the distribution that
        `interval` names, and take scans as independent and volumes as normal; `bootstrap_low` and
        `bootstrap_high` draw patients, and are the ones to report. `band` is the paper's word for
        an ICC; `p` is that of a slope of zero. `note` says why a figure or interval is NaN.
    """
    rows = [
        (str(model), str(cohort), *row)
        for (model, cohort), scans in scan_metrics.groupby(["model", "cohort"], sort=False)
        for row in _textbook(scans)
    ]
    textbook = pd.DataFrame(rows, columns=[*_KEYS, "interval", "ci_low", "ci_high", "p"])
    of_all = summary[summary["subset"] == "all"].rename(
        columns={"ci_low": "bootstrap_low", "ci_high": "bootstrap_high"}
    )
    table = textbook.merge(of_all, on=_KEYS, how="left")
    table["note"] = table["note"].fillna("")  # as a file gives an empty text back
    is_icc = table["metric"].str.startswith("icc")
    words = [band(value) for value in table["value"]]
    table["band"] = pd.Series(words, dtype=str).where(is_icc, "")
    table["note"] = [_note(row) for row in table.to_dict("records")]
    return table[list(COLUMNS)]


def _textbook(scans: pd.DataFrame) -> Iterator[tuple[str, str, float, float, float]]:
    """Metric, distribution, interval and p, by the names of the summary."""
    reference, predicted = scans["reference_ml"], scans["predicted_ml"]
    icc = intraclass_correlation(scans[["reference_ml", "predicted_ml"]])
    in_ml, in_percent = (f(reference, predicted) for f in (bland_altman, bland_altman_percent))
    slope = proportional_bias(reference, predicted)
    figures: dict[str, tuple[str, Estimate, float]] = {
        "icc_consistency": (F, icc.consistency, NAN),
        "icc_agreement": (F, icc.agreement, NAN),
        "volume_bias_ml": (T, in_ml.bias, NAN),
        "volume_limit_lower_ml": (T, in_ml.lower, NAN),
        "volume_limit_upper_ml": (T, in_ml.upper, NAN),
        "volume_difference_percent": (T, in_percent.bias, NAN),
        "volume_limit_lower_percent": (T, in_percent.lower, NAN),
        "volume_limit_upper_percent": (T, in_percent.upper, NAN),
        "volume_slope": (T, slope.slope, slope.p),
        "ttv_class_kappa": (NONE, UNDEFINED, NAN),
        "ttv_class_agreement": (NONE, UNDEFINED, NAN),
    }
    for metric, (interval, estimate, p) in figures.items():
        yield metric, interval, estimate.low, estimate.high, p


def _note(row: dict) -> str:
    """The summary's reason, and that of a missing textbook interval."""
    if pd.isna(row["value"]) or not pd.isna(row["ci_low"]):
        return str(row["note"])
    too_thin = f"{row['interval']}: too few scans, or an ICC below zero"
    reason = "no textbook interval" if row["interval"] == NONE else too_thin
    return "; ".join(filter(None, [row["note"], reason]))
