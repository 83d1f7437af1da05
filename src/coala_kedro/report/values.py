"""Values of frames, with their place in the CSV, and tables of them.

Every number of the report is a `Value`. It is shown rounded, and carries its unrounded value and
its place in the CSV (`<data value=... data-at="summary.csv, line 3, value">`, lines as an editor
counts them), so that readers and tests can trace it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from markupsafe import Markup

from coala_kedro.statistics.metric_list import format_of

NOT_DEFINED = "not defined"
MISSING = {
    "dice": "both masks empty",
    "fold_agreement": "no fold sees CRLM",
    "contrast_hu": "no liver around it",
}
"""Why a value is missing, by column; used where the row has no `note`."""
_NEVER = ("a count", "an extreme", "a p")
"""Beginnings of the notes on values that never have an interval."""
_ESTIMATES = ("value", "run", "estimate")
"""Columns whose 95 % interval stands in `ci_low` and `ci_high`."""
_HEADER_LINES = 2
"""Line 1 is the header, so row 0 is in line 2."""


@dataclass(frozen=True)
class Value:
    """A value of a frame, with its 95 % interval if it has one.

    Attributes:
        value: Unrounded.
        at: File, line and column of the CSV; empty if it is in none.
        words: Shown instead of a missing value, or of a missing interval.
        spec: How it is shown, as in `shown`.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: Any
    at: str = ""
    words: str = NOT_DEFINED
    spec: str = ""
    low: Value | None = None
    high: Value | None = None

    @property
    def defined(self) -> bool:
        """Whether there is a value to show."""
        return self.value is not None and self.value != "" and not pd.isna(self.value)

    @property
    def alone(self) -> Value:
        """The value without its interval."""
        return replace(self, low=None, high=None)

    @property
    def bounded(self) -> bool:
        """Whether it has an interval with both ends."""
        return bool(self.low and self.high and self.low.defined and self.high.defined)

    def __html__(self) -> Markup:
        if not self.defined:
            return Markup('<span class="none">{}</span>').format(self.words)
        number = Markup('<data value="{}" data-at="{}">{}</data>').format(
            _whole(self.value), self.at, shown(self.value, self.spec)
        )
        if self.bounded:
            interval = Markup(' <span class="interval">({}&nbsp;to&nbsp;{})</span>')
            return number + interval.format(self.low, self.high)
        if self.low is None or self.words.startswith((NOT_DEFINED, *_NEVER)):
            return number
        return number + Markup(' <span class="none">({})</span>').format(self.words)


@dataclass(frozen=True)
class Table:
    """Rows of words and values under headings.

    Attributes:
        columns: Headings; `(group, heading)` puts neighbours of a group under one heading.
        rows: Text or a `Value` for each column.
        source: The CSV that has the values unrounded.
    """

    columns: Sequence[str | tuple[str, str]]
    rows: Sequence[Sequence[Any]]
    source: str

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Groups of columns and their widths; empty if there are none."""
        if all(isinstance(column, str) for column in self.columns):
            return []
        named = ["" if isinstance(column, str) else column[0] for column in self.columns]
        return [(group, len([*several])) for group, several in itertools.groupby(named)]

    @property
    def headings(self) -> list[str]:
        """The lowest line of headings."""
        return [column if isinstance(column, str) else column[1] for column in self.columns]

    @property
    def dense(self) -> bool:
        """Whether intervals need a line of their own."""
        return any(
            sum(isinstance(cell, Value) and cell.low is not None for cell in row) > 4
            for row in self.rows
        )


@dataclass(frozen=True)
class Frame:
    """A frame of the catalog, with its rows in the order of its CSV.

    Attributes:
        name: The name of the CSV file.
        frame: As loaded, its rows numbered from 0.
    """

    name: str
    frame: pd.DataFrame

    def __post_init__(self) -> None:
        if not self.frame.index.equals(pd.RangeIndex(len(self.frame))):
            raise ValueError(f"Rows of {self.name} must be numbered from 0: reset its index.")

    def rows(self, **where: Any) -> pd.DataFrame:
        """The rows whose columns have the given values, with their numbers as index.

        Args:
            where: Values by column.
        """
        chosen = self.frame
        for column, value in where.items():
            chosen = chosen[chosen[column] == value]
        return chosen

    def value(self, row: Any, column: str) -> Value:
        """One value, with its interval if it has one; written as the list of metrics says.

        Args:
            row: Its number, from 0, as in the frame's index.
            column: Its column.
        """
        spec = format_of(column)
        if "metric" in self.frame and column in (*_ESTIMATES, "paper"):
            spec = format_of(str(self.frame.at[row, "metric"]))
        if column == "estimate":  # of a difference
            spec = f"+z{spec}"
        note = self.frame.at[row, "note"] if "note" in self.frame else ""
        words = note if isinstance(note, str) and note else MISSING.get(column, NOT_DEFINED)

        def plain(name: str) -> Value:
            place = f"{self.name}, line {row + _HEADER_LINES}, {name}"
            return Value(self.frame.at[row, name], place, words, spec)

        if column in _ESTIMATES and "ci_low" in self.frame:
            return replace(plain(column), low=plain("ci_low"), high=plain("ci_high"))
        return plain(column)

    def number(self, column: str = "value", absent: str = "no such scans", **where: Any) -> Value:
        """The value of the one row whose columns have these values.

        Args:
            column: Where the value stands.
            absent: Shown if there is no such row.
            where: What the row has, by column.

        Raises:
            ValueError: There are several such rows.
        """
        rows = self.rows(**where).index
        if len(rows) > 1:
            raise ValueError(f"{self.name} has {len(rows)} rows with {where}: say which.")
        return self.value(rows[0], column) if len(rows) else Value(None, words=absent)

    def table(self, headings: Mapping[str, str], rows: pd.DataFrame | None = None) -> Table:
        """Columns of the frame as a table.

        Args:
            headings: By column, in the order shown.
            rows: Those shown, as `rows` returns them; all if absent.
        """
        chosen = self.frame if rows is None else rows
        cells = [[self.value(row, column) for column in headings] for row in chosen.index]
        return Table([*headings.values()], cells, self.name)


def shown(value: Any, spec: str = "") -> str:
    """A value as text, rounded.

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


def _whole(value: Any) -> str:
    """The unrounded value as the CSV has it."""
    if isinstance(value, str):
        return value
    return repr(value.item() if hasattr(value, "item") else value)


def _p_value(p: float) -> str:
    if p < 0.001:
        return "< 0.001"
    return f"{p:.2f}" if p >= 0.095 else f"{p:.2g}"


def cohort_title(cohort: str) -> str:
    """The name of a cohort in headings: `Internal cohort`.

    Args:
        cohort: Its name.
    """
    return f"{cohort.capitalize().replace('_', ' ')} cohort"
