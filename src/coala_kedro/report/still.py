"""Plotly figures drawn by matplotlib, for print: no browser is needed.

Knows what `canvas` makes, panels in a row with dots, lines, boxes and levels, and refuses the rest.
Touches no global state of matplotlib.
"""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

_MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P", "x": "X",
}  # fmt: skip
_DASHES: dict[str | None, Any] = {
    None: "-", "solid": "-", "dash": (0, (5, 3)), "dot": (0, (1, 2)), "longdash": (0, (8, 3)),
}  # fmt: skip
_STEPS = {None: "default", "linear": "default", "hv": "steps-post"}
_PX_PER_INCH = 96
_PANEL_INCH = 3.9
_POINT = 72 / _PX_PER_INCH


def draw(figure: go.Figure) -> Figure:
    """Draw a figure of `canvas`.

    Args:
        figure: Panels in one row.

    Returns:
        The same, by matplotlib, with every dot, line and word at its place.

    Raises:
        ValueError: The figure has a kind of trace or shape that is not known here.
    """
    layout = figure.layout
    axes_names = sorted(
        (name for name in layout.to_plotly_json() if name.startswith("xaxis")), key=_number
    )
    still = Figure(
        figsize=(1 + _PANEL_INCH * len(axes_names), layout.height / _PX_PER_INCH),
        layout="constrained",
    )
    shared = any(layout["yaxis" + name[5:]].matches for name in axes_names)
    grid = still.subplots(1, len(axes_names), squeeze=False, sharey=shared)[0]
    by_axis = {
        name.replace("xaxis", "x"): axes for name, axes in zip(axes_names, grid, strict=True)
    }
    for name, axes in by_axis.items():
        _set_axis(axes, "x", layout["xaxis" + name[1:]])
        _set_axis(axes, "y", layout["yaxis" + name[1:]])
        axes.spines[["top", "right"]].set_visible(False)
    for trace in figure.data:
        _draw_trace(by_axis[trace.xaxis or "x"], trace)
    for shape in layout.shapes:
        _draw_shape(by_axis[shape.xref.split()[0]], by_axis["x" + shape.yref.split()[0][1:]], shape)
    for axes, note in zip(grid, layout.annotations, strict=False):
        axes.set_title(note.text, fontsize=11)
    for name, axes in by_axis.items():
        _set_range(axes, "x", layout["xaxis" + name[1:]])
        _set_range(axes, "y", layout["yaxis" + name[1:]])
    _add_legend(still, figure)
    return still


def svg(figure: go.Figure) -> str:
    """The figure as the element `<svg>`, the same bytes for the same figure."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "coala_kedro", "svg.fonttype": "none"}):
        draw(figure).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _number(axis: str) -> int:
    return int(axis.removeprefix("xaxis") or 1)


def _set_axis(axes: Axes, side: str, axis: Any) -> None:
    if axis.visible is False:
        axes.set_axis_off()
    if axis.type == "log":
        getattr(axes, f"set_{side}scale")("log")
        target = getattr(axes, f"{side}axis")
        target.set_major_formatter("{x:g}")
        target.set_minor_formatter(NullFormatter())
    if axis.title.text:
        getattr(axes, f"set_{side}label")(axis.title.text.replace("<br>", "\n"))
    if axis.tickvals is not None:
        texts = [text.replace("<br>", "\n") for text in axis.ticktext]
        getattr(axes, f"set_{side}ticks")(list(axis.tickvals), texts)
        getattr(axes, f"{side}axis").set_minor_locator(mpl.ticker.NullLocator())
    if axis.showticklabels is False:
        hidden: dict[str, Any] = {f"label{'left' if side == 'y' else 'bottom'}": False}
        axes.tick_params(**hidden)
    if axis.showgrid:
        axes.grid(axis=side, color=axis.gridcolor, linewidth=0.8)  # type: ignore[arg-type]
        axes.set_axisbelow(True)


def _set_range(axes: Axes, side: str, axis: Any) -> None:
    if axis.range is not None:
        ends = np.asarray(axis.range, dtype=float)
        getattr(axes, f"set_{side}lim")(10**ends if axis.type == "log" else ends)
    elif axis.autorange == "reversed":
        getattr(axes, f"invert_{side}axis")()


def _draw_trace(axes: Axes, trace: Any) -> None:
    if trace.type == "scatter":
        _draw_scatter(axes, trace)
    elif trace.type == "box":
        _draw_box(axes, trace)
    else:
        raise ValueError(f"A trace of type '{trace.type}' cannot be drawn for print: add it here.")


def _draw_scatter(axes: Axes, trace: Any) -> None:
    x, y = (np.array([np.nan if v is None else v for v in values], dtype=float)
            for values in (trace.x, trace.y))  # fmt: skip
    bars: dict[str, Any] = {
        f"{side}err": [list(error.arrayminus), list(error.array)]
        for side, error in (("x", trace.error_x), ("y", trace.error_y))
        if error.array is not None
    }
    style = _style(trace)
    if bars:
        drawn: ErrorbarContainer = axes.errorbar(x, y, **bars, elinewidth=1.1, **style)
        drawn[-1][0].set_alpha(style["alpha"])
    else:
        axes.plot(x, y, drawstyle=_STEPS[trace.line.shape], **style)


def _style(trace: Any) -> dict[str, Any]:
    """Of matplotlib's lines; marker sizes and widths from pixels to points."""
    with_lines, with_dots = "lines" in trace.mode, "markers" in trace.mode
    return {
        "color": trace.line.color or trace.marker.color,
        "linestyle": _DASHES[trace.line.dash] if with_lines else "none",
        "linewidth": (trace.line.width or 2) * _POINT,
        "marker": _MARKERS[trace.marker.symbol or "circle"] if with_dots else "none",
        "markersize": (trace.marker.size or 6) * _POINT,
        "markeredgewidth": 0,
        "alpha": (trace.marker.opacity or 1.0) if with_dots else 1.0,
    }


def _draw_box(axes: Axes, trace: Any) -> None:
    statistics = [
        {"q1": q1, "med": median, "q3": q3, "whislo": low, "whishi": high, "fliers": []}
        for q1, median, q3, low, high in zip(
            trace.q1, trace.median, trace.q3, trace.lowerfence, trace.upperfence, strict=True
        )
    ]
    line = {"color": trace.line.color, "linewidth": trace.line.width * _POINT}
    red, green, blue, alpha = (float(v) for v in trace.fillcolor[len("rgba(") : -1].split(","))
    axes.bxp(
        statistics,
        positions=list(trace.x),
        widths=trace.width,
        manage_ticks=False,
        showfliers=False,
        patch_artist=True,
        boxprops={
            "facecolor": (red / 255, green / 255, blue / 255, alpha),
            "edgecolor": to_rgba(trace.line.color),
            "linewidth": line["linewidth"],
        },
        medianprops=line,
        whiskerprops=line,
        capprops=line,
    )


def _draw_shape(across: Axes, along: Axes, shape: Any) -> None:
    style = {
        "color": shape.line.color,
        "linewidth": shape.line.width * _POINT,
        "linestyle": _DASHES[shape.line.dash],
        "zorder": 1.5,
    }
    if shape.type == "line" and shape.xref.endswith("domain") and shape.y0 == shape.y1:
        along.axhline(shape.y0, **style)
    elif shape.type == "line" and shape.yref.endswith("domain") and shape.x0 == shape.x1:
        across.axvline(shape.x0, **style)
    else:
        raise ValueError(f"A shape of type '{shape.type}' cannot be drawn for print: add it here.")


def _add_legend(still: Figure, figure: go.Figure) -> None:
    shown = [t for t in figure.data if t.name and t.showlegend is not False]
    if not shown or figure.layout.showlegend is False:
        return
    still.legend(
        handles=[Line2D([], [], label=trace.name, **_style(trace)) for trace in shown],
        loc="outside lower center",
        ncols=min(len(shown), 6),
        frameon=False,
    )
