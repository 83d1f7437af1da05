"""Tables that people open in a spreadsheet, which takes some texts for formulas and runs them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBERS = re.compile(r"(?:[\d.,%()+\- ]|to|(?<=\d)[eE])+")
"""`-5`, `-1e-3`, `-0.04 (-0.06 to +0.02)`: no letters, so no names of functions or cells."""


def harmless(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before every text that a spreadsheet would take for a formula.

    Texts and headings that begin with `=`, `+`, `-`, `@`, a tab or a line's end are changed,
    numbers are not. Names of scanners or folders may come from anybody. Source: OWASP, CSV
    injection.

    Args:
        table: Any frame.
    """
    return _every_text(table, _quoted)


def as_meant(table: pd.DataFrame) -> pd.DataFrame:
    """Undo `harmless` on a table that was read from a file.

    Args:
        table: As read.
    """
    return _every_text(table, _unquoted)


def _every_text(table: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    changed = table.rename(columns=change)
    for position, dtype in enumerate(table.dtypes):
        if not (
            pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype)
        ):
            changed.isetitem(position, table.iloc[:, position].map(change).array)
    return changed


def _quoted(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    line_ends = cell.replace("\r\n", "\n").replace("\r", "\n")  # pandas writes "\r" as it is
    formula = _FORMULA.match(line_ends) and not _NUMBERS.fullmatch(cell)
    return f"'{line_ends}" if formula else line_ends


def _unquoted(cell: Any) -> Any:
    quoted = isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell)
    return cell[1:] if quoted else cell
