"""A cohort's scan table."""

from __future__ import annotations

import difflib
import logging
import re
from typing import Any, NoReturn

import pandas as pd
from kedro.io import DatasetError
from kedro.io.core import get_filepath_str

from coala_kedro.datasets.table import TableDataset
from coala_kedro.scan_table_schema import SCAN_TABLE
from coala_kedro.spreadsheet import as_meant
from coala_kedro.tables import TableError, as_date, as_id, as_number, read_table

_NEEDED = [name for name, column in SCAN_TABLE.columns.items() if column.required]
_IDS = ("scan_id", "patient_id")
_NO_VALUE = ("na", "n/a", "nan", "null", "none", "-", "?")

logger = logging.getLogger(__name__)


class ScanTableDataset(TableDataset):
    """Loads a scan table from CSV or Excel, whatever country it was written in; saves it as CSV.

    Identifiers stay text: `0012` and `NA` stay `0012` and `NA`. Delimiter, character set, decimal
    commas, dates (but for `02/03/2020`, which could be two) and headings such as `Scan ID` are read
    as they are meant. What the columns are is said in `coala_kedro.scan_table_schema`.

    Examples:
        ```yaml
        internal.scan_table:
          type: coala_kedro.datasets.ScanTableDataset
          filepath: /hospital/study/internal/scans.xlsx
          load_args:  # need not be told: of a CSV sep, encoding and skiprows
            sheet_name: CT
        ```

        >>> ScanTableDataset(filepath="data/01_raw/internal/scans.csv").load()
    """

    DEFAULT_LOAD_ARGS: dict[str, Any] = {}  # noqa: RUF012

    @property
    def preview(self) -> NoReturn:
        """No preview, for kedro-viz would show all columns of a hospital's table.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError("A scan table has no preview: it may tell who somebody is.")

    def load(self) -> pd.DataFrame:
        """Read the table. A column that is left out though it looks like a known one is logged.

        Raises:
            DatasetError: There is no table, it is neither CSV nor Excel, or two of its columns are
                the same.
        """
        if not self.exists():
            raise DatasetError(
                f"There is no scan table {self._filepath}. A hospital's is a row a scan with the "
                f"columns {', '.join(_NEEDED)}: write it, or point --params raw=<folder> or the "
                "catalog entry at the folder that has it. The study's own is made by "
                "`kedro run --pipelines preprocessing`."
            )
        with self._fs.open(get_filepath_str(self._get_load_path(), self._protocol), "rb") as file:
            content = file.read()
        try:
            return _scan_table(as_meant(read_table(content, **self._load_args)))
        except TableError as error:
            raise DatasetError(
                f"The scan table {self._filepath} cannot be used: {error}."
            ) from None


def _scan_table(table: pd.DataFrame) -> pd.DataFrame:
    headings = [str(heading) for heading in table]
    known = [_known(heading) for heading in headings]
    for name in SCAN_TABLE.columns:
        if known.count(name) > 1:
            same = [f"'{h}'" for h, k in zip(headings, known, strict=True) if k == name]
            raise TableError(f"its columns {' and '.join(same)} are both '{name}': remove one")
    if not any(known):
        raise TableError(
            f"its first row has none of the headings {', '.join(_NEEDED)}. Remove what is above "
            "the headings, or tell the delimiter or the sheet by load_args (sep, sheet_name)"
        )
    if table.empty:
        logger.warning("The scan table has headings, but no scan.")
    for heading, name in zip(headings, known, strict=True):
        if not name and (looks := _resembled(heading)) and looks not in known:
            logger.warning(
                "The scan table's column '%s' is left out: if it is '%s', call it so.",
                heading, looks,
            )  # fmt: skip
    columns = [name or heading for name, heading in zip(known, headings, strict=True)]
    table = table.set_axis(columns, axis=1).reset_index(drop=True)
    return table.assign(**{name: _values(table[name]) for name in known if name})


def _known(heading: str) -> str | None:
    """The column that a heading such as `Scan ID` or `Age (years)` means."""
    name = re.sub(r"\W+", "_", heading.lower()).strip("_")
    return name if name in SCAN_TABLE.columns else None


def _resembled(heading: str) -> str | None:
    """The column that a heading looks like: `ScanID`, `age`, `patients_id`."""
    letters = re.sub(r"[\W_]", "", heading.lower())
    squashed = {name.replace("_", ""): name for name in SCAN_TABLE.columns} | {"gender": "sex"}
    begun = [known for known in squashed if len(letters) > 2 and known.startswith(letters)]
    found = begun or difflib.get_close_matches(letters, squashed, n=1, cutoff=0.8)
    return squashed[found[0]] if found else None


def _values(column: pd.Series) -> pd.Series:
    rules = SCAN_TABLE.columns[str(column.name)]
    empty = ("", *(() if rules.required else _NO_VALUE))
    if column.name in _IDS:
        column = column.map(as_id)
    elif column.name == "acquired_on":
        column = column.map(as_date)
    elif not str(rules.dtype).startswith("str"):
        column = column.map(as_number)
    texts = [None if text.lower() in empty else text for text in column]
    read = pd.Series(texts, column.index)
    if str(rules.dtype).startswith("str"):
        return read
    numbers = pd.to_numeric(read, errors="coerce")
    return numbers if (numbers.isna() == read.isna()).all() else read
