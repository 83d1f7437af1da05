"""Figures that know where they come from: a frame, a row, a column.

Every number of the report is a `Cell` of a catalogued frame. It is shown rounded, and carries its
unrounded value and its place in the CSV (`<data value=... data-at="summary.csv, line 3, value">`,
lines as an editor counts them), so that readers and tests can follow it back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

NOT_DEFINED = "not defined"
_NEVER = ("a count", "an extreme", "a p")
"""Notes of figures that have no interval by their nature: nothing to tell."""
_HEADER_LINES = 2
"""An editor's first line is 1, and the header's."""


@dataclass(frozen=True)
class Source:
    """A catalogued frame, rows in the order of its CSV.

    Attributes:
        name: Of the CSV file.
        frame: As loaded.
        missing: By column, words for what is not defined; a row's own `note` goes before them.
    """

    name: str
    frame: pd.DataFrame
    missing: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.frame.index.equals(pd.RangeIndex(len(self.frame))):
            raise ValueError(f"Rows of {self.name} must be numbered from 0: reset its index.")

    def rows(self, **where: Any) -> pd.DataFrame:
        """The rows whose columns have these values, with their numbers as index."""
        chosen = self.frame
        for column, value in where.items():
            chosen = chosen[chosen[column] == value]
        return chosen

    def cell(self, row: Any, column: str, spec: str = "") -> Cell:
        """One value.

        Args:
            row: Its number, from 0, as in the frame's index.
            column: Its column.
            spec: How it is shown: a format of Python's, or `p` for a p-value.
        """
        value = self.frame.at[row, column]
        line = row + _HEADER_LINES
        note = self.frame.at[row, "note"] if "note" in self.frame else ""
        words = note if isinstance(note, str) and note else self.missing.get(column, NOT_DEFINED)
        return Cell(value, f"{self.name}, line {line}, {column}", words, spec)

    def figure(self, spec: str = "", value: str = "value", **where: Any) -> Estimate:
        """The one row with these values, with its interval if it has one.

        Returns:
            The figure; words instead if the frame has no such row.

        Raises:
            ValueError: There are several.
        """
        rows = self.rows(**where).index
        if len(rows) > 1:
            raise ValueError(f"{self.name} has {len(rows)} rows with {where}: say which.")
        if not len(rows):
            return Estimate(Cell(None, "", "no such scans", spec))
        ends = [c for c in ("ci_low", "ci_high") if c in self.frame and value == "value"]
        low, high = (self.cell(rows[0], end, spec) for end in ends) if ends else (None, None)
        return Estimate(self.cell(rows[0], value, spec), low, high)


@dataclass(frozen=True)
class Cell:
    """A value of a frame, shown rounded.

    Attributes:
        value: Unrounded.
        at: Where it stands; empty for what stands nowhere.
        words: Instead of a value that is not defined.
        spec: How it is shown.
    """

    value: Any
    at: str
    words: str = NOT_DEFINED
    spec: str = ""

    @property
    def defined(self) -> bool:
        """Whether there is a value to show."""
        return not (self.value is None or self.value is pd.NA or self.value == "") and not (
            isinstance(self.value, float) and math.isnan(self.value)
        )

    def __html_format__(self, spec: str) -> Markup:
        return replace(self, spec=spec or self.spec).__html__()

    def __html__(self) -> Markup:
        if not self.defined:
            return Markup('<span class="none">{}</span>').format(self.words)
        return Markup('<data value="{}" data-at="{}">{}</data>').format(
            _whole(self.value), self.at, shown(self.value, self.spec)
        )


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, where there is one."""

    value: Cell
    low: Cell | None = None
    high: Cell | None = None

    def __html_format__(self, spec: str) -> Markup:
        ends = (end and replace(end, spec=spec or end.spec) for end in (self.low, self.high))
        value = replace(self.value, spec=spec or self.value.spec)
        return Estimate(value, *ends).__html__()

    def __html__(self) -> Markup:
        if self.low is None or self.high is None or not self.value.defined:
            return escape(self.value)
        if self.low.defined and self.high.defined:
            template = '{} <span class="interval">({}&nbsp;to&nbsp;{})</span>'
            return Markup(template).format(self.value, self.low, self.high)
        if self.low.words == NOT_DEFINED or self.low.words.startswith(_NEVER):
            return escape(self.value)
        return Markup('{} <span class="none">({})</span>').format(self.value, self.low.words)


def prose(template: str, *values: Any, **named: Any) -> Markup:
    """Words with figures in them; the template is trusted HTML, values are escaped.

    `prose("Dice was {:.2f}.", cell)` keeps the figure's value and place.
    """
    return Markup(template).format(*values, **named)


def shown(value: Any, spec: str = "") -> str:
    """A value as people write it.

    Args:
        value: Text, number or truth.
        spec: A format of Python's; `p` for a p-value; empty shows three figures of a number that
            is not whole.

    Returns:
        Text, with a true minus.
    """
    if isinstance(value, bool) or (hasattr(value, "dtype") and value.dtype.kind == "b"):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    number = float(value)
    if math.isinf(number):
        text = "∞" if number > 0 else "-∞"
    elif spec == "p":
        text = _p_value(number)
    elif spec:
        text = format(number, spec)
    else:
        text = f"{number:,.0f}" if number.is_integer() else f"{number:.3g}"
    if text.startswith("-") and not re.search("[1-9∞]", text):
        return text[1:]
    return text.replace("-", "−", 1) if text.startswith("-") else text


def words(name: str) -> str:
    """A name of the frames as people write it."""
    return name.replace(">=", "≥")


def _whole(value: Any) -> str:
    """As the CSV has it."""
    if isinstance(value, str):
        return value
    return repr(value.item() if hasattr(value, "item") else value)


def _p_value(p: float) -> str:
    if p < 0.001:
        return "< 0.001"
    return f"{p:.2f}" if p >= 0.095 else f"{p:.2g}"


def cohort_title(cohort: str) -> str:
    """As in headings: `Internal cohort`."""
    return f"{cohort.capitalize()} cohort"
