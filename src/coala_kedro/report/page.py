"""One self-contained page: sections of words, tables, figures and pictures.

Nothing is fetched: style, plotly.js and pictures are in the page, and its content security policy
forbids the browser to ask the network even if something in it wanted to.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from coala_kedro.report.cells import Estimate
from coala_kedro.report.still import svg

Words = str
"""Text; a `Markup` (see `cells.prose`) is HTML."""


@dataclass(frozen=True)
class Table:
    """Rows of words and cells under headings.

    Attributes:
        caption: What it shows.
        columns: Headings; `(group, heading)` puts neighbours of a group under one heading.
        rows: A value a column: text, `Cell` or `Estimate`.
        source: Where the figures are unrounded: the CSV's name.
    """

    kind: ClassVar[str] = "table"
    caption: Words
    columns: Sequence[str | tuple[str, str]]
    rows: Sequence[Sequence[Any]]
    source: str = ""

    @cached_property
    def groups(self) -> list[tuple[str, int]]:
        """Groups of columns and their widths; empty if there are none."""
        if all(isinstance(column, str) for column in self.columns):
            return []
        named = ["" if isinstance(column, str) else column[0] for column in self.columns]
        return [(group, len([*several])) for group, several in itertools.groupby(named)]

    @cached_property
    def dense(self) -> bool:
        """Whether intervals need a line of their own."""
        return any(sum(isinstance(cell, Estimate) for cell in row) > 4 for row in self.rows)

    @cached_property
    def headings(self) -> list[str]:
        """The lowest line of headings."""
        return [column if isinstance(column, str) else column[1] for column in self.columns]


@dataclass(frozen=True)
class Plot:
    """A figure: interactive on the screen, still in print."""

    kind: ClassVar[str] = "plot"
    caption: Words
    figure: go.Figure
    name: str

    @cached_property
    def still(self) -> Markup:
        """For print, and where no script may run."""
        return Markup(svg(self.figure))

    @cached_property
    def data(self) -> Markup:
        """For plotly.js, safe inside of a script element."""
        return Markup(str(self.figure.to_json()).replace("<", "\\u003c"))


@dataclass(frozen=True)
class Picture:
    """A PNG inside of the page."""

    kind: ClassVar[str] = "picture"
    caption: Words
    png: bytes
    alt: str

    @cached_property
    def data(self) -> str:
        """As a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Flow:
    """Boxes from top to bottom, each with what left beside it.

    Attributes:
        title: Above the boxes.
        steps: `(what is there, what left before it)`; the second may be empty.
        ends: Boxes side by side at the bottom.
    """

    kind: ClassVar[str] = "flow"
    title: Words
    steps: Sequence[tuple[Words, Words]]
    ends: Sequence[Words]


@dataclass(frozen=True)
class Flows:
    """Several flows side by side."""

    kind: ClassVar[str] = "flows"
    flows: Sequence[Flow]


@dataclass(frozen=True)
class Cards:
    """A few figures in large letters, each `(figure, what it is)`."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[tuple[Any, Words]]


@dataclass(frozen=True)
class References:
    """What the text cites, numbered."""

    kind: ClassVar[str] = "references"
    entries: Sequence[Words]


@dataclass(frozen=True)
class Fold:
    """Something long, folded away on the screen and open in print."""

    kind: ClassVar[str] = "fold"
    summary: Words
    items: Sequence[Item]


Item = str | Table | Plot | Picture | Flows | Cards | References | Fold


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: Its heading.
        items: Paragraphs and what they speak of, in order; `None` is left out.
        short: In the contents, if the heading is long.
    """

    title: str
    items: Sequence[Item | None]
    short: str = ""

    @property
    def name(self) -> str:
        """Of its anchor."""
        return "".join(c if c.isalnum() else "-" for c in (self.short or self.title).lower())


def render(title: str, lead: Words, sections: Sequence[Section]) -> str:
    """Render a page.

    Args:
        title: Of the page.
        lead: Under the title.
        sections: In order.

    Returns:
        HTML. Figures are `<data>` elements (see `cells`).
    """
    has_plots = any(item.kind == "plot" for section in sections for item in _flat(section.items))
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            lead=lead,
            sections=sections,
            plotly=Markup(get_plotlyjs()) if has_plots else "",
        )
    )


def environment(html: bool = True) -> jinja2.Environment:
    """The room's templates; what they name must be there, and in HTML values are escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("coala_kedro.report", ""),
        autoescape=html,
        keep_trailing_newline=not html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _flat(items: Sequence[Item | None]) -> list[Any]:
    things = [item for item in items if item is not None and not isinstance(item, str)]
    folded = [item.items for item in things if isinstance(item, Fold)]
    return things + [thing for inner in folded for thing in _flat(inner)]
