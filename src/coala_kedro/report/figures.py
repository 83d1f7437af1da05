"""Figures of scans, from the study's frames.

Models differ in colour and symbol, in the order of the frame. In the page, hovering over a dot
shows its scan. A figure without anything to show says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from coala_kedro.cohort import TIMEPOINTS
from coala_kedro.report.plots import (
    GREY,
    Axes,
    Figure,
    by_model,
    cohort_panels,
    colour,
    dots,
    logarithmic,
    nothing,
    spread,
    with_legend,
)

SMALLEST_ML = 0.1
"""Volumes below, no tumour at all among them, are drawn here on logarithmic axes."""

_WIDE = 20
"""Volumes that differ by more than this factor are drawn on a logarithmic axis."""
_NO_SCAN = "No scan was tested."
_DASHES = (0, (5, 3))
_THERAPY = {"pre": "before therapy", "post": "after therapy"}
_BIAS = ("volume_bias_ml", "volume_limit_lower_ml", "volume_limit_upper_ml")
_BIAS_PERCENT = (
    "volume_difference_percent",
    "volume_limit_lower_percent",
    "volume_limit_upper_percent",
)


def bland_altman(scan_metrics: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Error of total tumour volume against the mean of model and consensus, in mL.

    Args:
        scan_metrics: `model`, `cohort`, `scan_id`, `reference_ml`, `predicted_ml`,
            `volume_error_ml`.
        summary: Bias and limits of agreement, drawn as a full and two broken lines.
    """
    error_ml = scan_metrics["volume_error_ml"]
    return _differences(scan_metrics, summary, error_ml, _BIAS, "Model − consensus (mL)")


def bland_altman_percent(scan_metrics: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """As `bland_altman`, in per cent of the mean; scans that both find empty are left out.

    Args:
        scan_metrics: As there.
        summary: As there.
    """
    mean_ml = _mean_ml(scan_metrics)
    percent = 100 * scan_metrics["volume_error_ml"] / mean_ml.where(mean_ml > 0)
    y_title = "Model − consensus (% of their mean)"
    return _differences(scan_metrics, summary, percent, _BIAS_PERCENT, y_title)


def volumes(scan_metrics: pd.DataFrame) -> Figure:
    """Total tumour volume of the model against the consensus, and the line where they agree.

    Args:
        scan_metrics: `model`, `cohort`, `scan_id`, `reference_ml`, `predicted_ml`.
    """
    if scan_metrics.empty:
        return nothing(_NO_SCAN)
    models = scan_metrics["model"].unique()
    figure, row = cohort_panels(scan_metrics, "Consensus (mL)", "Model (mL)")
    for axes, of_cohort in row:
        both = of_cohort[["reference_ml", "predicted_ml"]].to_numpy()
        wide = _is_wide(both)
        ends = _ends(both, wide)
        axes.plot(ends, ends, color=GREY, linewidth=0.9, linestyle=_DASHES)
        for place, model, scans in by_model(of_cohort, models):
            x, y = (_drawn_ml(scans[c], wide) for c in ("reference_ml", "predicted_ml"))
            dots(axes, x, y, model, place, _tips(scans))
        if wide:
            logarithmic(axes, "xy")
            axes.set(xlim=ends, ylim=ends)
    return with_legend(figure)


def dice(scan_metrics: pd.DataFrame) -> Figure:
    """Dice of every scan before and after therapy, dots over boxes of quartiles.

    Scans without a Dice are left out; the number of scans stands under each group.

    Args:
        scan_metrics: `model`, `cohort`, `scan_id`, `timepoint`, `dice`, `reference_ml`,
            `predicted_ml`.
    """
    scored = scan_metrics[scan_metrics["dice"].notna()]
    if scored.empty:
        return nothing("No scan has a Dice: neither consensus nor model has CRLM in any.")
    models = scored["model"].unique()
    figure, row = cohort_panels(scored, "", "Dice", shared_y=True)
    for axes, of_cohort in row:
        for place, model, scans in by_model(of_cohort, models):
            for group, timepoint in enumerate(TIMEPOINTS):
                chosen = scans[scans["timepoint"] == timepoint]
                x = group + (place - (len(models) - 1) / 2) * 0.38
                if len(chosen):
                    _box(axes, chosen["dice"], x, place)
                dots(axes, x + spread(len(chosen)), chosen["dice"], model, place, _tips(chosen))
        texts = [f"{_THERAPY[t]}\n{_count(of_cohort, t)}" for t in TIMEPOINTS]
        axes.set_xticks([0, 1], texts)
        axes.set_xlim(-0.6, 1.6)
    return with_legend(figure)


def _differences(
    scan_metrics: pd.DataFrame,
    summary: pd.DataFrame,
    difference: pd.Series,
    lines: tuple[str, str, str],
    y_title: str,
) -> Figure:
    if not difference.notna().any():
        return nothing(_NO_SCAN if scan_metrics.empty else "Every scan is empty for both.")
    models = scan_metrics["model"].unique()
    drawn = scan_metrics.assign(mean_ml=_mean_ml(scan_metrics), difference=difference)
    figure, row = cohort_panels(drawn, "Mean of model and consensus (mL)", y_title)
    for axes, of_cohort in row:
        wide = _is_wide(of_cohort["mean_ml"].to_numpy())
        axes.axhline(0, color=GREY, linewidth=1)
        for place, model, scans in by_model(of_cohort, models):
            x = _drawn_ml(scans["mean_ml"], wide)
            dots(axes, x, scans["difference"], model, place, _tips(scans))
            for y, style in _levels(summary, model, of_cohort["cohort"].iloc[0], lines):
                axes.axhline(y, color=colour(place), linewidth=1, linestyle=style)
        if wide:
            logarithmic(axes, "x")
    return with_legend(figure)


def _levels(
    summary: pd.DataFrame, model: str, cohort: str, lines: tuple[str, str, str]
) -> Iterator[tuple[float, Any]]:
    """Bias and limits that are defined, and how they are drawn."""
    chosen = summary[
        (summary["model"] == model) & (summary["cohort"] == cohort) & (summary["subset"] == "all")
    ]
    values = chosen.set_index("metric")["value"]
    for metric, style in zip(lines, ("-", _DASHES, _DASHES), strict=True):
        if np.isfinite(values.get(metric, np.nan)):
            yield float(values[metric]), style


def _box(axes: Axes, values: pd.Series, x: float, place: int) -> None:
    """Quartiles as a box, whiskers to the last value within 1.5 times their range."""
    from matplotlib.colors import to_rgba

    line = {"color": colour(place), "linewidth": 1.1}
    axes.boxplot(
        values,
        positions=[x],
        widths=0.32,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": to_rgba(colour(place), 0.22), "edgecolor": colour(place)},
        medianprops=line,
        whiskerprops=line,
        capprops=line,
    )


def _tips(scans: pd.DataFrame) -> list[str]:
    """What is shown on hovering over the dots."""
    return [
        f"{row.scan_id}\nmodel {row.predicted_ml:.1f} mL, consensus {row.reference_ml:.1f} mL"
        for row in scans.itertuples()
    ]


def _mean_ml(scans: pd.DataFrame) -> pd.Series:
    return (scans["reference_ml"] + scans["predicted_ml"]) / 2


def _drawn_ml(volumes_ml: pd.Series, wide: bool) -> pd.Series:
    return volumes_ml.clip(lower=SMALLEST_ML if wide else 0)


def _is_wide(volumes_ml: np.ndarray) -> bool:
    return bool(volumes_ml.max() > _WIDE * max(volumes_ml.min(), SMALLEST_ML))


def _ends(volumes_ml: np.ndarray, wide: bool) -> tuple[float, float]:
    most = float(volumes_ml.max()) * 1.15 or 1.0
    return (max(float(volumes_ml.min()), SMALLEST_ML) / 1.3, most) if wide else (0.0, most)


def _count(scored: pd.DataFrame, timepoint: str) -> str:
    sizes = scored[scored["timepoint"] == timepoint].groupby("model", sort=False).size()
    counts = [str(size) for size in sizes]
    return "n = " + (counts[0] if len(set(counts)) == 1 else ", ".join(counts) or "0")
