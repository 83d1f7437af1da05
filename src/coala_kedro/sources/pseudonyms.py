"""Scan ids where paths tell who somebody is."""

from __future__ import annotations

from pathlib import Path

from coala_kedro.sources.search import SourceError
from coala_kedro.spreadsheet import as_meant
from coala_kedro.tables import TableError, as_id, read_table


def read_pseudonyms(file: str | Path) -> dict[str, str]:
    """Read which scan id stands for what the paths tell.

    Args:
        file: CSV or Excel, with the columns `found` and `scan_id`.

    Raises:
        SourceError: There is no such file or column, or something has two scan ids, or none.
    """
    try:
        table = as_meant(read_table(Path(file).read_bytes()))
    except (OSError, TableError) as error:
        raise SourceError(f"The pseudonyms {file} cannot be read: {error}.") from None
    table.columns = table.columns.str.lower()
    if absent := [name for name in ("found", "scan_id") if [*table].count(name) != 1]:
        raise SourceError(
            f"The pseudonyms {file} lack the column {', '.join(absent)}, or have two."
        )
    table["scan_id"] = table["scan_id"].map(as_id)
    wrong = table["found"].duplicated() | table["scan_id"].duplicated() | table["scan_id"].eq("")
    if wrong.any():
        rows = ", ".join(str(row) for row in table.index[wrong])
        raise SourceError(
            f"The pseudonyms {file}, line {rows}: every scan needs one scan id of its own."
        )
    return dict(zip(table["found"], table["scan_id"], strict=True))
