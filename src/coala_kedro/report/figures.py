"""Figures of scans, from the study's frames.

Models are told apart by colour and symbol, in the order of the frame; every dot says on hovering
which scan it is. A figure without anything to show says so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from coala_kedro.cohort import TIMEPOINTS
from coala_kedro.report.canvas import (
    box,
    by_model,
    dots,
    identity,
    level,
    listed,
    nothing,
    order,
    panels,
    spread,
    titles,
)

SMALLEST_ML = 0.1
"""Volumes below, no tumour at all among them, are drawn here on logarithmic axes."""

_WIDE = 20
"""Volumes that differ by more than this factor are drawn on a logarithmic axis."""
_NO_SCAN = "No scan was tested."
_THERAPY = {"pre": "before therapy", "post": "after therapy"}
_BIAS = ("volume_bias_ml", "volume_limit_lower_ml", "volume_limit_upper_ml")
_BIAS_PERCENT = (
    "volume_difference_percent",
    "volume_limit_lower_percent",
    "volume_limit_upper_percent",
)


def bland_altman(scan_metrics: pd.DataFrame, summary: pd.DataFrame) -> go.Figure:
    """Error of total tumour volume against the mean of model and consensus, in mL.

    Args:
        scan_metrics: `model`, `cohort`, `scan_id`, `reference_ml`, `predicted_ml`.
        summary: Bias and limits of agreement, drawn as a full and two broken lines.
    """
    return _differences(
        scan_metrics, summary, scan_metrics["volume_error_ml"], _BIAS, "Model − consensus (mL)"
    )


def bland_altman_percent(scan_metrics: pd.DataFrame, summary: pd.DataFrame) -> go.Figure:
    """As `bland_altman`, in per cent of the mean; scans that both find empty are left out."""
    mean = (scan_metrics["reference_ml"] + scan_metrics["predicted_ml"]) / 2
    percent = 100 * scan_metrics["volume_error_ml"] / mean.where(mean > 0)
    return _differences(
        scan_metrics, summary, percent, _BIAS_PERCENT, "Model − consensus (% of their mean)"
    )


def volumes(scan_metrics: pd.DataFrame) -> go.Figure:
    """Total tumour volume of the model against the consensus, and the line where they agree."""
    if scan_metrics.empty:
        return nothing(_NO_SCAN)
    cohorts, models = order(scan_metrics)
    figure = panels(titles(cohorts), "Consensus (mL)", "Model (mL)")
    for panel, cohort in enumerate(cohorts):
        of_cohort = scan_metrics[scan_metrics["cohort"] == cohort]
        both = of_cohort[["reference_ml", "predicted_ml"]].to_numpy()
        logarithmic = _is_wide(both)
        ends = _ends(both, logarithmic)
        identity(figure, panel, *ends)
        for place, model, scans in by_model(of_cohort, models):
            x, y = (scans[c].clip(lower=SMALLEST_ML if logarithmic else 0) for c in
                    ("reference_ml", "predicted_ml"))  # fmt: skip
            dots(figure, panel, x, y, model, place, text=_told(scans), hoverinfo="text+name")
        if logarithmic:
            axis = {"type": "log", "dtick": 1, "range": listed(np.log10(ends))}
            figure.update_xaxes(axis, col=panel + 1)
            figure.update_yaxes(axis, col=panel + 1)
    return figure


def dice(scan_metrics: pd.DataFrame) -> go.Figure:
    """Dice of every scan before and after therapy, dots over boxes of quartiles.

    Scans without a Dice are left out; the number of scans stands under each group.
    """
    cohorts, models = order(scan_metrics)
    scored = scan_metrics[scan_metrics["dice"].notna()]
    if scored.empty:
        return nothing("No scan has a Dice: neither consensus nor model has CRLM in any.")
    figure = panels(titles(cohorts), "", "Dice", shared_y=True)
    for panel, cohort in enumerate(cohorts):
        of_cohort = scored[scored["cohort"] == cohort]
        for place, model, scans in by_model(of_cohort, models):
            for group, timepoint in enumerate(TIMEPOINTS):
                chosen = scans[scans["timepoint"] == timepoint]
                x = group + (place - (len(models) - 1) / 2) * 0.38
                if len(chosen):
                    box(figure, panel, chosen["dice"], x, model, place)
                told = _told(chosen)
                dots(figure, panel, x + spread(len(chosen)), chosen["dice"], model, place,
                     text=told, hoverinfo="text+y+name")  # fmt: skip
        texts = [f"{_THERAPY[t]}<br>{_count(of_cohort, t)}" for t in TIMEPOINTS]
        figure.update_xaxes(
            {"tickvals": [0, 1], "ticktext": texts, "range": [-0.6, 1.6]}, col=panel + 1
        )
    return figure


def _differences(
    scan_metrics: pd.DataFrame,
    summary: pd.DataFrame,
    difference: pd.Series,
    lines: tuple[str, str, str],
    y_title: str,
) -> go.Figure:
    if not difference.notna().any():
        return nothing(_NO_SCAN if scan_metrics.empty else "Every scan is empty for both.")
    cohorts, models = order(scan_metrics)
    figure = panels(titles(cohorts), "Mean of model and consensus (mL)", y_title)
    mean = (scan_metrics["reference_ml"] + scan_metrics["predicted_ml"]) / 2
    for panel, cohort in enumerate(cohorts):
        of_cohort = scan_metrics[scan_metrics["cohort"] == cohort]
        logarithmic = _is_wide(mean[of_cohort.index].to_numpy())
        level(figure, panel, 0, None)
        shown = [0.0, *difference[of_cohort.index].dropna()]
        for place, model, scans in by_model(of_cohort, models):
            x = mean[scans.index].clip(lower=SMALLEST_ML if logarithmic else 0)
            dots(figure, panel, x, difference[scans.index], model, place, text=_told(scans),
                 hoverinfo="text+y+name")  # fmt: skip
            for y, dash in _levels(summary, model, cohort, lines):
                level(figure, panel, y, place, dash)
                shown.append(y)
        # Plotly does not count lines across a panel when it chooses a range.
        margin = 0.07 * (max(shown) - min(shown)) or 1.0
        figure.update_yaxes(range=[min(shown) - margin, max(shown) + margin], col=panel + 1)
        if logarithmic:
            figure.update_xaxes({"type": "log", "dtick": 1}, col=panel + 1)
    return figure


def _levels(
    summary: pd.DataFrame, model: str, cohort: str, lines: tuple[str, str, str]
) -> Iterator[tuple[float, str]]:
    """Bias and limits that are defined, and how they are drawn."""
    chosen = summary[
        (summary["model"] == model) & (summary["cohort"] == cohort) & (summary["subset"] == "all")
    ]
    values = chosen.set_index("metric")["value"]
    for metric, dash in zip(lines, ("solid", "dash", "dash"), strict=True):
        if np.isfinite(values.get(metric, np.nan)):
            yield float(values[metric]), dash


def _told(scans: pd.DataFrame) -> list[str]:
    """What a dot says on hovering."""
    return [
        f"{row.scan_id}<br>model {row.predicted_ml:.1f} mL, consensus {row.reference_ml:.1f} mL"
        for row in scans.itertuples()
    ]


def _is_wide(volumes_ml: np.ndarray) -> bool:
    return bool(volumes_ml.max() > _WIDE * max(volumes_ml.min(), SMALLEST_ML))


def _ends(volumes_ml: np.ndarray, logarithmic: bool) -> tuple[float, float]:
    most = float(volumes_ml.max()) * 1.15 or 1.0
    return (max(float(volumes_ml.min()), SMALLEST_ML) / 1.3, most) if logarithmic else (0.0, most)


def _count(scored: pd.DataFrame, timepoint: str) -> str:
    sizes = scored[scored["timepoint"] == timepoint].groupby("model", sort=False).size()
    counts = [str(size) for size in sizes]
    return "n = " + (counts[0] if len(set(counts)) == 1 else ", ".join(counts) or "0")
