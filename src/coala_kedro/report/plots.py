"""The style of the report's figures: panels side by side, colour-blind safe colours, one legend.

Figures are drawn by matplotlib without pyplot, so no global state is left behind.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from coala_kedro.report.values import cohort_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    Axes = Figure = Any  # Kedro asks for the types of nodes, and matplotlib is slow to import

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""The palette of Okabe and Ito, which colour-blind readers can tell apart."""
MARKERS = ("o", "s", "D", "^", "P", "X")
GREY = "#8a8a8a"

_GRID = "#e8e8e8"
_PANEL_INCH = 3.9
_HEIGHT_INCH = 3.9
_DOT_POINTS = 6


def panels(
    titles: Sequence[str],
    x_title: str,
    y_title: str,
    shared_y: bool = False,
    height_inch: float = _HEIGHT_INCH,
) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels side by side.

    Args:
        titles: A title for each panel; at least one.
        x_title: The label of every x axis.
        y_title: The label of the first y axis.
        shared_y: Whether the panels share the scale of the y axis.
        height_inch: The height of the figure.

    Returns:
        The figure and its panels, from left to right.
    """
    from matplotlib.figure import Figure

    size = (1 + _PANEL_INCH * len(titles), height_inch)
    figure = Figure(figsize=size, layout="constrained")
    (row,) = figure.subplots(1, len(titles), squeeze=False, sharey=shared_y)
    for axes, title in zip(row, titles, strict=True):
        axes.set_title(title, fontsize=11)
        axes.set_xlabel(x_title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    row[0].set_ylabel(y_title)
    return figure, [*row]


def cohort_panels(
    rows: pd.DataFrame, x_title: str, y_title: str, **options: Any
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """An empty figure with a panel for each cohort.

    Args:
        rows: A frame with the column `cohort`.
        x_title: The label of every x axis.
        y_title: The label of the first y axis.
        options: Other arguments of `panels`.

    Returns:
        The figure, and each panel with the rows of its cohort, in the order of the frame.
    """
    cohorts = rows["cohort"].unique()
    figure, row = panels([*map(cohort_title, cohorts)], x_title, y_title, **options)
    parts = (rows[rows["cohort"] == cohort] for cohort in cohorts)
    return figure, [*zip(row, parts, strict=True)]


def by_model(rows: pd.DataFrame, models: Iterable[str]) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """Each model's index (see `colour`), name and rows.

    Args:
        rows: A frame with the column `model`.
        models: All models of the figure, so that a model has the same colour in every panel.
    """
    for place, model in enumerate(models):
        yield place, model, rows[rows["model"] == model]


def nothing(words: str) -> Figure:
    """A figure that says why there is nothing to see.

    Args:
        words: The reason; also the label of the figure, which `svg` keeps as its title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 1))
    figure.set_label(words)
    figure.text(0.5, 0.5, words, ha="center", va="center")
    return figure


def colour(place: int) -> str:
    """The colour of a model or fold.

    Args:
        place: Its index in the figure, from 0.
    """
    return COLOURS[place % len(COLOURS)]


def dots(
    axes: Axes, x: ArrayLike, y: ArrayLike, name: str, place: int, tips: Sequence[str]
) -> None:
    """A dot for each pair of finite values.

    Args:
        axes: The panel.
        x: Positions along the x axis.
        y: Positions along the y axis.
        name: The name in the legend.
        place: The index of the name in the figure; decides colour and symbol.
        tips: A text for each dot, shown on hovering over it in the page.
    """
    x, y = (np.asarray(values, dtype=float) for values in (x, y))
    known = np.isfinite(x) & np.isfinite(y)
    axes.scatter(
        x[known],
        y[known],
        s=_DOT_POINTS**2,
        c=colour(place),
        marker=MARKERS[place % len(MARKERS)],
        alpha=0.8,
        linewidths=0,
        label=name,
        urls=[tip for tip, shown in zip(tips, known, strict=True) if shown],
        zorder=3,
    )


def spread(n: int) -> np.ndarray:
    """Horizontal offsets that keep dots apart; the same in every run.

    Args:
        n: The number of dots.
    """
    return (np.arange(n) * 0.618 % 1 - 0.5) * 0.22


def logarithmic(axes: Axes, sides: str) -> None:
    """Make axes logarithmic, with plain numbers as labels.

    Args:
        axes: The panel.
        sides: `x` or `xy`.
    """
    from matplotlib.ticker import NullFormatter

    for side in sides:
        axes.set(**{f"{side}scale": "log"})
        axis = {"x": axes.xaxis, "y": axes.yaxis}[side]
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def with_legend(figure: Figure) -> Figure:
    """The figure, with one legend for all panels below them.

    Args:
        figure: Its panels are complete.
    """
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    figure.legend(
        [*named.values()],
        [*named],
        loc="outside lower center",
        ncols=min(len(named), 6),
        frameon=False,
    )
    return figure


def svg(figure: Figure, name: str) -> str:
    """The figure as the element `<svg>`; the same figure gives the same text.

    Args:
        figure: The tips of its dots become `<title>` elements, which browsers show on hovering.
        name: The name of the figure; makes its ids differ from those of other figures on a page.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    title = {"Title": str(figure.get_label())} if figure.get_label() else {}
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type")) | title
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=metadata)
    text = buffer.getvalue()
    link = r'<a xlink:href="([^"]*)"[^>]*>(.*?)</a>'
    return re.sub(link, r"<g><title>\1</title>\2</g>", text[text.index("<svg") :], flags=re.DOTALL)


def reason(svg_text: str) -> str:
    """Why a figure is one of `nothing`, escaped for HTML; empty for other figures.

    Args:
        svg_text: As `svg` wrote it.
    """
    titled = re.match(r"<svg[^>]*>\s*<title>(.*?)</title>", svg_text, flags=re.DOTALL)
    return titled[1] if titled else ""
