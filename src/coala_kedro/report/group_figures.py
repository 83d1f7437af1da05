"""Figures of groups: lesions, structures, subgroups of scans, readers; and the free-response curve.

As in `figures`, models differ in colour and symbol, and a figure without anything to show says why.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from coala_kedro.report.plots import (
    Figure,
    by_model,
    cohort_panels,
    colour,
    dots,
    nothing,
    with_legend,
)
from coala_kedro.statistics.rater_metrics import CONSENSUS_OF_OTHERS, READER
from coala_kedro.statistics.rater_summary import ALL_READERS


def lesions(lesion_summary: pd.DataFrame) -> Figure:
    """Sensitivity by size, place and contrast of lesions, with 95 % intervals.

    Args:
        lesion_summary: `model, cohort, subset, metric, value, ci_low, ci_high`.
    """
    found = lesion_summary[lesion_summary["metric"] == "sensitivity"]
    return _by_subset(found, "Sensitivity for lesions")


def structures(organ_metrics: pd.DataFrame) -> Figure:
    """Median Dice of every structure and its quartiles over the test scans.

    Args:
        organ_metrics: `model, cohort, scan_id, structure, dice`.
    """
    scored = organ_metrics[organ_metrics["dice"].notna()]
    if scored.empty:
        return nothing("No scan has a structure that can be scored.")
    by = scored.groupby(["model", "cohort", "structure"], sort=False)["dice"]
    rows = by.quantile(pd.Series([0.25, 0.5, 0.75])).unstack().reset_index()
    rows = rows.rename(columns={0.25: "ci_low", 0.5: "value", 0.75: "ci_high"})
    rows["subset"] = rows["structure"].replace("crlm", "CRLM").str.replace("_", " ")
    return _by_subset(rows, "Dice, median and quartiles")


def subgroups(summary: pd.DataFrame) -> Figure:
    """Mean Dice of groups of scans, with 95 % intervals.

    Args:
        summary: `model, cohort, grouping, group, metric, value, ci_low, ci_high`.
    """
    means = summary[summary["metric"] == "dice_mean"]
    return _by_subset(means.assign(subset=means["grouping"] + ": " + means["group"]), "Mean Dice")


def readers(reader_summary: pd.DataFrame) -> Figure:
    """Mean Dice of readers and models against the consensus of the other readers.

    Args:
        reader_summary: `rater, rater_kind, reference_kind, cohort, metric, value, ci_low, ci_high`.
    """
    against = reader_summary[
        (reader_summary["metric"] == "dice_mean")
        & (reader_summary["reference_kind"] == CONSENSUS_OF_OTHERS)
        & (reader_summary["rater"] != ALL_READERS)
    ]
    by_name = against.sort_values("rater", kind="stable")
    readers_first = pd.concat(
        [by_name[by_name["rater_kind"] == READER], against[against["rater_kind"] != READER]]
    )
    rows = readers_first.rename(columns={"rater": "subset", "rater_kind": "model"})
    return _by_subset(rows, "Mean Dice against the consensus of the other readers")


def free_response(curves: pd.DataFrame) -> Figure:
    """Sensitivity against false positives per scan, a step line for each model.

    Cut off a little after the last model has found all that it ever finds.

    Args:
        curves: `model, cohort, threshold, sensitivity, false_positives_per_scan`, by threshold.
    """
    known = curves[curves["sensitivity"].notna()]
    if known.empty:
        return nothing("No lesion in the consensus, or none seen by any fold: no curve.")
    models = known["model"].unique()
    figure, row = cohort_panels(known, "False positives a scan", "Sensitivity", shared_y=True)
    most = known.groupby(["cohort", "model"])["sensitivity"].transform("max")
    reached = known[known["sensitivity"] == most].groupby(["cohort", "model"])
    end = max(1.0, 1.5 * float(reached["false_positives_per_scan"].min().max()))
    for axes, of_cohort in row:
        for place, model, points in by_model(of_cohort, models):
            x, y = points["false_positives_per_scan"], points["sensitivity"]
            axes.plot(x, y, drawstyle="steps-post", color=colour(place), linewidth=1.4)
            tips = [f"{share:.0%} of the folds" for share in points["threshold"]]
            dots(axes, x, y, model, place, tips)
        axes.set(xlim=(-0.02 * end, end), ylim=(-0.03, 1.03))
    return with_legend(figure)


def _by_subset(rows: pd.DataFrame, x_title: str) -> Figure:
    """Values from 0 to 1 of subsets one below the other, a panel per cohort."""
    subsets = list(rows["subset"].unique())
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return nothing("No scan has what this figure shows.")
    models = rows["model"].unique()
    height_inch = 1.9 + 0.27 * len(subsets)
    figure, row = cohort_panels(rows, x_title, "", shared_y=True, height_inch=height_inch)
    least = float(rows[["value", "ci_low"]].min().min())
    start = max(0.0, np.floor(10 * least - 1) / 10) - 0.02
    for axes, of_cohort in row:
        for place, model, chosen in by_model(of_cohort, models):
            y = chosen["subset"].map(subsets.index) + (place - (len(models) - 1) / 2) * 0.25
            value = chosen["value"]
            # An end that is not defined is no bar.
            ends = [(value - chosen["ci_low"]).fillna(0), (chosen["ci_high"] - value).fillna(0)]
            axes.errorbar(value, y, xerr=ends, fmt="none", ecolor=colour(place), elinewidth=1.1)
            dots(axes, value, y, model, place, [f"{model}: {v:.3f}" for v in value])
        axes.set(xlim=(start, 1.02), ylim=(len(subsets) - 0.5, -0.5))
        axes.set_yticks(range(len(subsets)), [name.replace(">=", "≥") for name in subsets])
    return with_legend(figure)
