"""Tables as people have them: CSV as Excel writes it in any country, and Excel's own files."""

from __future__ import annotations

import codecs
import csv
import io
import re
from contextlib import suppress
from datetime import datetime
from typing import Any

import pandas as pd

_DELIMITERS = ",;\t|"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_XLSX, _XLS = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_SAVE_ANEW = "save it as .xlsx or 'CSV UTF-8'"

# No country writes the month first with dots.
_DAY_FIRST, _MONTH_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y"), ("%m/%d/%Y", "%m-%d-%Y")
_NAMED_MONTH = ("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%d%b%Y", "%b %d, %Y", "%B %d, %Y")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", *_DAY_FIRST, *_MONTH_FIRST, *_NAMED_MONTH)
_TIME = re.compile(r"[T ]\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AP]M)?$", re.IGNORECASE)

_EXACT = 10**15
"""From here on Excel rounds whole numbers."""


class TableError(ValueError):
    """A file is no table; the message says what to do."""


def read_table(content: bytes, **options: Any) -> pd.DataFrame:
    """Read a table whose first row is its headings, every cell as text.

    Args:
        content: Of a CSV or Excel file (.xlsx). Delimiter and character set of a CSV are told by
            its content: UTF-8, UTF-16 with its mark, else Windows-1252.
        **options: Of a CSV `sep`, `encoding` and `skiprows`, as `pandas.read_csv` calls them, and
            of an Excel file those of `pandas.read_excel`, such as `sheet_name`.

    Returns:
        Text without blanks around it: "" where a cell is empty, `NA` where it says so, dates of
        Excel as `2020-01-02 00:00:00`. Empty rows and columns are left out; the index counts the
        file's rows from 1.

    Raises:
        TableError: It is neither, is empty, or a row has more cells than there are headings.
    """
    if content.startswith(_XLS):
        raise TableError(f"it is an old Excel file or has a password: {_SAVE_ANEW}")
    cells = _excel(content, options) if content.startswith(_XLSX) else _csv(content, **options)
    cells = cells.map(_text)
    cells.index += 1 + options.get("skiprows", 0)
    filled = cells != ""
    cells = cells.loc[filled.any(axis=1), filled.any(axis=0)]
    if cells.empty:
        raise TableError("it is empty")
    return cells.iloc[1:].set_axis(cells.iloc[0].to_list(), axis=1)


def _excel(content: bytes, options: dict[str, Any]) -> pd.DataFrame:
    as_it_is = {"header": None, "dtype": object, "na_filter": False}
    if isinstance(options.get("sheet_name", 0), list | None):
        raise TableError("it has several sheets: tell one by load_args, such as sheet_name: CT")
    try:
        return pd.read_excel(io.BytesIO(content), **options | as_it_is)
    # Of a damaged file, openpyxl raises whatever its parts raise.
    except Exception as error:
        raise TableError(f"it cannot be read as an Excel file ({error}): {_SAVE_ANEW}") from None


def _csv(
    content: bytes,
    sep: str | None = None,
    encoding: str | None = None,
    skiprows: int = 0,
    **_: Any,
) -> pd.DataFrame:
    text = io.StringIO(_decoded(content, encoding), newline=None).read()
    if told := re.match(r"sep=(.)\n", text):  # a line of Excel's own; it still counts as a row
        sep, text = sep or told[1], text[told.end() - 1 :]
    try:
        sep = sep or max(_DELIMITERS, key=lambda delimiter: len(_head(text, delimiter)))
        rows = [*csv.reader(io.StringIO(text), delimiter=sep, strict=True)][skiprows:]
    except (csv.Error, TypeError) as error:
        raise TableError(f"it cannot be read as CSV ({error}): {_SAVE_ANEW}") from None
    head = len(next(filter(any, rows), []))
    for number, row in enumerate(rows, start=1 + skiprows):
        if any(cell.strip() for cell in row[head:]):
            raise TableError(
                f"row {number} has more cells than there are headings (columns are separated by "
                f"{sep!r}): put a cell that holds it into quotes, or {_SAVE_ANEW}"
            )
    return pd.DataFrame(rows, dtype=object)


def _head(text: str, delimiter: str) -> list[str]:
    return next(filter(any, csv.reader(io.StringIO(text), delimiter=delimiter)), [])


def _decoded(content: bytes, encoding: str | None) -> str:
    told = encoding or ("utf-16" if content.startswith(_UTF16) else "utf-8")
    for name in (told, "cp1252"):
        with suppress(UnicodeDecodeError, LookupError):
            text = content.removeprefix(codecs.BOM_UTF8).decode(name)
            if "\0" not in text:
                return text
    raise TableError(f"its characters are not UTF-8: {_SAVE_ANEW}")


def _text(cell: Any) -> str:
    if isinstance(cell, float | int) and abs(cell) >= _EXACT:
        return f"{cell:E}"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if pd.isna(cell) else str(cell).strip()


def as_id(text: str) -> str:
    """An identifier as it was before a program took it for a decimal number: `12.0` is `12`.

    Args:
        text: A cell.
    """
    return re.sub(r"^(\d+)\.0$", r"\1", text)


def as_date(text: str) -> str:
    """A date as YYYY-MM-DD without a time of day; unchanged if it is no date, or could be two.

    Args:
        text: A cell.
    """
    written = _TIME.sub("", text)
    days = set()
    for form in ("%Y%m%d",) if re.fullmatch(r"\d{8}", written) else _DATES:
        with suppress(ValueError):
            days.add(datetime.strptime(written, form).date())
    return days.pop().isoformat() if len(days) == 1 else text


def as_number(text: str) -> str:
    """A number with a decimal point; unchanged if it is none, or could be two, such as `1,250`.

    Args:
        text: A cell.
    """
    thousands = re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", text)
    return text.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d+", text) and not thousands else text
