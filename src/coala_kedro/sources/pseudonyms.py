"""Scan ids where paths tell who somebody is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from coala_kedro.sources.search import SourceError


def read_pseudonyms(file: str | Path) -> dict[str, str]:
    """Read which scan id stands for what the paths tell.

    Args:
        file: CSV with the columns `found` and `scan_id`.

    Raises:
        SourceError: There is no such file or column, or something has two scan ids, or none.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise SourceError(f"The pseudonyms {file} cannot be read: {error}.") from None
    if absent := {"found", "scan_id"} - set(table):
        raise SourceError(f"The pseudonyms {file} lack the column {', '.join(sorted(absent))}.")
    wrong = table["found"].duplicated() | table["scan_id"].duplicated() | table["scan_id"].eq("")
    if wrong.any():
        rows = ", ".join(str(row + 2) for row in table.index[wrong])
        raise SourceError(
            f"The pseudonyms {file}, line {rows}: every scan needs one scan id of its own."
        )
    return dict(zip(table["found"], table["scan_id"], strict=True))
