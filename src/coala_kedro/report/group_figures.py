"""Figures of groups: lesions, structures, subgroups of scans, readers; and the free-response curve.

As in `figures`, models are told apart by colour and symbol, and a figure without anything to show
says so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from coala_kedro.report.canvas import (
    by_model,
    dots,
    interval,
    nothing,
    order,
    panels,
    resize,
    titles,
)
from coala_kedro.report.cells import words
from coala_kedro.statistics.rater_metrics import CONSENSUS_OF_OTHERS, READER
from coala_kedro.statistics.rater_summary import ALL_READERS


def lesions(lesion_summary: pd.DataFrame) -> go.Figure:
    """Sensitivity by size, place and contrast of lesions, with 95 % intervals."""
    found = lesion_summary[lesion_summary["metric"] == "sensitivity"]
    return _by_subset(found, "Sensitivity for lesions")


def structures(organ_metrics: pd.DataFrame) -> go.Figure:
    """Mean Dice of every structure and its quartiles over the test scans."""
    scored = organ_metrics[organ_metrics["dice"].notna()]
    if scored.empty:
        return nothing("No scan has a structure that can be scored.")
    by = scored.groupby(["model", "cohort", "structure"], sort=False)["dice"]
    rows = by.quantile(pd.Series([0.25, 0.5, 0.75])).unstack().reset_index()
    rows = rows.rename(columns={0.25: "ci_low", 0.5: "value", 0.75: "ci_high"})
    rows["subset"] = rows["structure"].replace("crlm", "CRLM").str.replace("_", " ")
    return _by_subset(rows, "Dice, median and quartiles")


def subgroups(summary: pd.DataFrame) -> go.Figure:
    """Mean Dice of groups of scans, with 95 % intervals."""
    means = summary[summary["metric"] == "dice_mean"]
    return _by_subset(means.assign(subset=means["grouping"] + ": " + means["group"]), "Mean Dice")


def readers(reader_summary: pd.DataFrame) -> go.Figure:
    """Mean Dice of readers and models against the consensus of the other readers."""
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


def free_response(curves: pd.DataFrame) -> go.Figure:
    """Sensitivity against false positives per scan, a step line for each model.

    Cut off a little after the last model has found all that it ever finds.
    """
    known = curves[curves["sensitivity"].notna()]
    if known.empty:
        return nothing("No lesion in the consensus, or none seen by any fold: no curve.")
    cohorts, models = order(known)
    figure = panels(titles(cohorts), "False positives a scan", "Sensitivity", shared_y=True)
    for panel, cohort in enumerate(cohorts):
        for place, model, points in by_model(known[known["cohort"] == cohort], models):
            told = [f"{share:.0%} of the folds" for share in points["threshold"]]
            dots(figure, panel, points["false_positives_per_scan"], points["sensitivity"], model,
                 place, mode="lines", line={"shape": "hv"}, text=told,
                 hoverinfo="text+x+y+name")  # fmt: skip
    most = known.groupby(["cohort", "model"])["sensitivity"].transform("max")
    reached = known[known["sensitivity"] == most].groupby(["cohort", "model"])
    end = max(1.0, 1.5 * float(reached["false_positives_per_scan"].min().max()))
    figure.update_yaxes(range=[-0.03, 1.03])
    figure.update_xaxes(range=[-0.02 * end, end])
    return figure


def _by_subset(rows: pd.DataFrame, x_title: str) -> go.Figure:
    """Values from 0 to 1 of subsets one below the other, a panel per cohort."""
    subsets = list(rows["subset"].unique())
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return nothing("No scan has what this figure shows.")
    cohorts, models = order(rows)
    figure = panels(titles(cohorts), x_title, "", shared_y=True)
    for panel, cohort in enumerate(cohorts):
        for place, model, chosen in by_model(rows[rows["cohort"] == cohort], models):
            y = chosen["subset"].map(subsets.index) + (place - (len(models) - 1) / 2) * 0.25
            bars = interval(chosen["value"], chosen["ci_low"], chosen["ci_high"])
            dots(figure, panel, chosen["value"], y, model, place, error_x=bars,
                 hoverinfo="x+name")  # fmt: skip
    ends = [len(subsets) - 0.5, -0.5]
    labels = [words(subset) for subset in subsets]
    figure.update_yaxes(tickvals=[*range(len(subsets))], ticktext=labels, range=ends)
    least = float(rows[["value", "ci_low"]].min().min())
    figure.update_xaxes(range=[max(0.0, np.floor(10 * least - 1) / 10) - 0.02, 1.02])
    resize(figure, 62 + 26 * len(subsets))
    return figure
