"""Figures of the scan metrics: volumes against the consensus (Bland-Altman), and Dice.

Both take `scan_metrics` (one row per model and scan) and draw one panel per cohort, the models
side by side. They return `Figure` objects and touch no global state of matplotlib.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from coala_kedro.cohort import TIMEPOINTS
from coala_kedro.statistics.bland_altman import bland_altman

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Okabe & Ito's, which colour-blind readers tell apart; models in order of appearance."""
MARKERS = ("o", "s", "^", "D")

_THERAPY = {"pre": "before therapy", "post": "after therapy"}
_BOX_WIDTH = 0.32
_DPI = 200
_WIDE = 20
"""Volumes that differ by more than this factor are drawn on a logarithmic axis."""


def bland_altman_figure(scan_metrics: pd.DataFrame) -> Figure:
    """Error of total tumour volume against the volume, in mL, with bias and limits of agreement.

    Args:
        scan_metrics: `model`, `cohort`, `reference_ml`, `predicted_ml`.

    Returns:
        A panel per cohort with its own axes: a dot per scan and model, a full line at the bias,
        broken lines at bias ± 1.96 SD. Volumes that differ widely are on a logarithmic axis
        (linear below 1 mL, so that a scan without lesions has its place).
    """
    cohorts, models = _order(scan_metrics)
    figure, panels = _panels(len(cohorts))
    for panel, cohort in zip(panels, cohorts, strict=True):
        panel.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        for position, model in enumerate(models):
            scans = _scans_of(scan_metrics, cohort, model)
            if len(scans):
                _draw_bland_altman(panel, scans, model, position)
        least, most = panel.dataLim.intervalx
        if most > _WIDE * least:
            panel.set_xscale("symlog", linthresh=1, subs=range(2, 10))
        # Only empty scans need the place of 0 mL, far to the left of every other.
        panel.set_xlim(left=0 if least < 1 else least / 1.5)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_title(cohort)
        panel.set_xlabel("Mean of model and consensus (mL)")
        panel.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False, fontsize="small"
        )
    panels[0].set_ylabel("Model − consensus (mL)")
    return figure


def dice_figure(scan_metrics: pd.DataFrame) -> Figure:
    """Dice of every scan by cohort and therapy, dots over boxes.

    Args:
        scan_metrics: `model`, `cohort`, `timepoint`, `dice`; scans without a Dice are left out.

    Returns:
        A panel per cohort on one Dice axis; boxes span the quartiles, whiskers 1.5 times that
        range, dots are scans. The number of scans stands under each therapy group.
    """
    cohorts, models = _order(scan_metrics)
    scored = scan_metrics[scan_metrics["dice"].notna()]
    figure, panels = _panels(len(cohorts), sharey=True)
    for panel, cohort in zip(panels, cohorts, strict=True):
        for position, model in enumerate(models):
            for place, timepoint in enumerate(TIMEPOINTS):
                scans = _scans_of(scored, cohort, model)
                dice = scans.loc[scans["timepoint"] == timepoint, "dice"].to_numpy()
                offset = (position - (len(models) - 1) / 2) * _BOX_WIDTH * 1.2
                if len(dice):
                    _draw_box(panel, dice, place + offset, position)
        panel.set_xticks(
            range(len(TIMEPOINTS)), [_therapy_label(scored, cohort, t) for t in TIMEPOINTS]
        )
        panel.set_xlim(-0.6, len(TIMEPOINTS) - 0.4)
        panel.set_title(cohort)
    panels[0].set_ylabel("Dice")
    figure.legend(
        handles=[_handle(model, position) for position, model in enumerate(models)],
        loc="outside lower center",
        ncols=len(models),
        frameon=False,
    )
    return figure


def _draw_bland_altman(panel: Axes, scans: pd.DataFrame, model: str, position: int) -> None:
    agreement = bland_altman(scans["reference_ml"], scans["predicted_ml"])
    bias, low, high = (
        estimate.value for estimate in (agreement.bias, agreement.lower, agreement.upper)
    )
    text = f"bias {bias:+.1f} mL, limits {low:+.1f} to {high:+.1f} mL".replace("-", "−")
    colour = COLOURS[position % len(COLOURS)]
    panel.scatter(
        (scans["reference_ml"] + scans["predicted_ml"]) / 2,
        scans["predicted_ml"] - scans["reference_ml"],
        s=18,
        marker=MARKERS[position % len(MARKERS)],
        color=colour,
        alpha=0.7,
        linewidths=0,
        clip_on=False,
        label=f"{model}: {text}",
    )
    panel.axhline(bias, color=colour, linewidth=1.4)
    for limit in (low, high):
        panel.axhline(limit, color=colour, linewidth=1, linestyle=(0, (5, 3)))


def _draw_box(panel: Axes, dice: NDArray[np.float64], x: float, position: int) -> None:
    colour = COLOURS[position % len(COLOURS)]
    panel.boxplot(
        dice,
        positions=[x],
        widths=_BOX_WIDTH,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": colour, "alpha": 0.25, "edgecolor": colour},
        medianprops={"color": colour, "linewidth": 1.8},
        whiskerprops={"color": colour},
        capprops={"color": colour},
    )
    # The golden ratio spreads neighbours evenly, and alike in every run.
    spread = (np.arange(len(dice)) * 0.618 % 1 - 0.5) * _BOX_WIDTH * 0.7
    panel.scatter(
        x + spread,
        dice,
        s=12,
        marker=MARKERS[position % len(MARKERS)],
        color=colour,
        alpha=0.75,
        linewidths=0,
        zorder=3,
    )


def _order(scan_metrics: pd.DataFrame) -> tuple[list[str], list[str]]:
    return list(scan_metrics["cohort"].unique()), list(scan_metrics["model"].unique())


def _scans_of(scan_metrics: pd.DataFrame, cohort: str, model: str) -> pd.DataFrame:
    return scan_metrics[(scan_metrics["cohort"] == cohort) & (scan_metrics["model"] == model)]


def _panels(n_panels: int, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(1.2 + 3.8 * n_panels, 4), dpi=_DPI, layout="constrained")
    panels = list(figure.subplots(1, max(n_panels, 1), squeeze=False, sharey=sharey)[0])[:n_panels]
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _therapy_label(scored: pd.DataFrame, cohort: str, timepoint: str) -> str:
    chosen = scored[(scored["cohort"] == cohort) & (scored["timepoint"] == timepoint)]
    counts = [str(count) for count in chosen.groupby("model", sort=False).size()]
    same = "n = " + (counts[0] if len(set(counts)) == 1 else ", ".join(counts) or "0")
    return f"{_THERAPY[timepoint]}\n{same}"


def _handle(model: str, position: int) -> Line2D:
    return Line2D(
        [],
        [],
        color=COLOURS[position % len(COLOURS)],
        marker=MARKERS[position % len(MARKERS)],
        linestyle="none",
        label=model,
    )
