"""Plotly figures of the house: panels in one row, one look, colours that all readers tell apart.

A figure is described once, by plotly, and lives as data: the page shows it interactively, and
`still` draws the same description for print. Values are plain lists, so that any plotly.js reads
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from coala_kedro.report.cells import cohort_title

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe & Ito's, which colour-blind readers tell apart; names in order of appearance."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")

_INK = "#222222"
_GREY = "#8a8a8a"
_GRID = "#e8e8e8"
_PANEL_PX = 252
_ABOVE_PX, _BELOW_PX, _LEGEND_PX = 36, 92, 62
_MARKER_PX = 8


def panels(titles: Sequence[str], x_title: str, y_title: str, shared_y: bool = False) -> go.Figure:
    """An empty figure of panels side by side.

    Args:
        titles: Of the panels; at least one.
        x_title: Under every panel.
        y_title: Left of the first.
        shared_y: One axis for all.
    """
    figure = make_subplots(
        cols=len(titles),
        subplot_titles=titles,
        shared_yaxes=shared_y,
        horizontal_spacing=0.06 if shared_y else 0.1,
    )
    figure.update_layout(
        template="none",
        font={"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        margin={"l": 64, "r": 16, "t": _ABOVE_PX, "b": _BELOW_PX},
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "yanchor": "top"},
        hovermode="closest",
    )
    resize(figure, _PANEL_PX)
    axis = {
        "showline": True,
        "linecolor": _GREY,
        "ticks": "outside",
        "tickcolor": _GREY,
        "zeroline": False,
        "title": {"font": {"size": 13}},
    }
    figure.update_xaxes(axis | {"showgrid": False}, title_text=x_title)
    figure.update_yaxes(axis | {"showgrid": True, "gridcolor": _GRID})
    figure.update_yaxes({"automargin": True}, title_text=y_title, col=1)
    figure.update_annotations(font={"size": 14})
    return figure


def order(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Cohorts and models as they come."""
    return list(rows["cohort"].unique()), list(rows["model"].unique())


def titles(cohorts: list[str]) -> list[str]:
    """Of the panels."""
    return [cohort_title(cohort) for cohort in cohorts]


def by_model(rows: pd.DataFrame, models: list[str]) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """Place and name of each model, and its rows."""
    for place, model in enumerate(models):
        yield place, model, rows[rows["model"] == model]


def spread(n: int) -> np.ndarray:
    """Offsets that keep neighbours apart: by the golden ratio, evenly and alike in every run."""
    return (np.arange(n) * 0.618 % 1 - 0.5) * 0.22


def resize(figure: go.Figure, panel_px: int) -> None:
    """Give the panels a height; the legend stays at its distance below."""
    height = panel_px + _ABOVE_PX + _BELOW_PX
    figure.update_layout(height=height, legend_y=-_LEGEND_PX / panel_px)


def nothing(words: str) -> go.Figure:
    """A figure that says why there is nothing to see."""
    figure = panels([words], "", "")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def dots(
    figure: go.Figure,
    panel: int,
    x: ArrayLike,
    y: ArrayLike,
    name: str,
    place: int,
    **more: Any,
) -> None:
    """A dot a value.

    Args:
        figure: Of `panels`.
        panel: From 0.
        x: Positions.
        y: Likewise.
        name: In the legend, once for all panels.
        place: Of the name among the names: its colour and symbol.
        more: Of plotly's scatter, such as `text`, `error_x`.
    """
    first = name not in {trace.name for trace in figure.data if trace.showlegend}
    colour = COLOURS[place % len(COLOURS)]
    figure.add_trace(
        go.Scatter(
            x=listed(x),
            y=listed(y),
            name=name,
            legendgroup=name,
            showlegend=first,
            mode=more.pop("mode", "markers"),
            marker={
                "color": colour,
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "size": _MARKER_PX,
                "opacity": 0.8,
            },
            line={"color": colour, "width": 1.8, **more.pop("line", {})},
            **more,
        ),
        row=1,
        col=panel + 1,
    )


def box(figure: go.Figure, panel: int, values: ArrayLike, x: float, name: str, place: int) -> None:
    """Quartiles as a box, whiskers to the last value within 1.5 times their range."""
    values = np.sort(np.asarray(values, dtype=float))
    first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 1.5 * (third - first)
    colour = COLOURS[place % len(COLOURS)]
    figure.add_trace(
        go.Box(
            x=[x],
            q1=[float(first)],
            median=[float(median)],
            q3=[float(third)],
            lowerfence=[float(values[values >= first - reach].min())],
            upperfence=[float(values[values <= third + reach].max())],
            width=0.32,
            name=name,
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
            line={"color": colour, "width": 1.5},
            fillcolor=f"rgba{(*_rgb(colour), 0.22)}",
        ),
        row=1,
        col=panel + 1,
    )


def level(figure: go.Figure, panel: int, y: float, place: int | None, dash: str = "solid") -> None:
    """A line across a panel; grey without a place among the names."""
    figure.add_hline(
        y=float(y),
        line={
            "color": _GREY if place is None else COLOURS[place % len(COLOURS)],
            "width": 1.3,
            "dash": dash,
        },
        layer="below",
        row=1,
        col=panel + 1,
        exclude_empty_subplots=False,
    )


def identity(figure: go.Figure, panel: int, least: float, most: float) -> None:
    """The line on which both axes are alike."""
    figure.add_trace(
        go.Scatter(
            x=[float(least), float(most)],
            y=[float(least), float(most)],
            mode="lines",
            line={"color": _GREY, "width": 1.2, "dash": "dash"},
            showlegend=False,
            hoverinfo="skip",
        ),
        row=1,
        col=panel + 1,
    )


def interval(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> dict[str, Any]:
    """Error bars from the ends of an interval; an end that is not defined is no bar."""
    value, low, high = (np.asarray(v, dtype=float) for v in (value, low, high))
    return {
        "type": "data",
        "symmetric": False,
        "array": listed(np.nan_to_num(high - value)),
        "arrayminus": listed(np.nan_to_num(value - low)),
        "thickness": 1.4,
        "width": 0,
    }


def listed(values: ArrayLike) -> list[Any]:
    """Plain numbers or words; plotly leaves out None."""
    items = np.asarray(values).tolist()
    return [None if isinstance(v, float) and not np.isfinite(v) else v for v in items]


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
