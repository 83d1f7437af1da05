"""What a scan table is: one row a scan, its columns and their checks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd
import pandera.pandas as pa

from coala_kedro.cohort import NAME, ROLES, TIMEPOINTS, CohortError

_DEVICE = r"(?i:CON|PRN|AUX|NUL|COM\d|LPT\d)"
"""Windows allows no file of these names."""

_NAME = pa.Check(
    lambda name: bool(re.fullmatch(NAME, name)),
    element_wise=True,
    error="must be letters, digits, '_' and '-', the first a letter or a digit",
)
_SHORT = pa.Check(lambda ids: ids.str.len() <= 64, error="must be at most 64 characters")
_NO_DEVICE = pa.Check(
    lambda name: not re.fullmatch(_DEVICE, name),
    element_wise=True,
    error="cannot be the name of a file in Windows: choose another",
)
_MORE_THAN_CASE = pa.Check(
    lambda ids: ids.duplicated(keep=False) | ~ids.str.lower().duplicated(keep=False),
    error="is there with other capitals too: on many disks one file would replace the other",
)
_PRINTABLE = pa.Check(
    lambda text: len(text) <= 128 and text.isprintable(),
    element_wise=True,
    error="must be at most 128 characters that can be printed",
)
_RULES = {
    "field_uniqueness": "is there more than once: give each scan an id of its own",
    "not_nullable": "is no value: fill it in",
}


def _is_date(dates: pd.Series) -> pd.Series:
    parsed = pd.to_datetime(dates, format="%Y-%m-%d", errors="coerce")
    return dates.str.fullmatch(r"\d{4}-\d{2}-\d{2}") & parsed.notna()


_TWO_DAYS = pa.Check.str_matches(
    r"^(?!(0?[1-9]|1[0-2])[/-](0?[1-9]|1[0-2])[/-]\d{4}$)",
    error="could be two days: write it as YYYY-MM-DD",
)
_SERIAL = pa.Check.str_matches(
    r"^(?!\d{5}$)", error="is how Excel counts days: format the cell as a date, YYYY-MM-DD"
)
_DATE = pa.Check(_is_date, error="must be a date as YYYY-MM-DD")


def _one_of(values: Sequence[str]) -> pa.Check:
    return pa.Check.isin(values, error=f"must be one of {', '.join(values)}")


def _number(check: pa.Check) -> pa.Column:
    return pa.Column(float, check, nullable=True, required=False, coerce=True)


_COUNT = pa.Check(lambda n: (n >= 0) & (n % 1 == 0), error="must be a whole number, 0 or more")
_THICKNESS = pa.Check.in_range(
    0, 1000, include_min=False, error="must be more than 0, and at most 1000"
)

SCAN_TABLE = pa.DataFrameSchema(
    {
        "scan_id": pa.Column(str, [_NAME, _SHORT, _NO_DEVICE, _MORE_THAN_CASE], unique=True),
        "patient_id": pa.Column(str, [_NAME, _SHORT]),
        "timepoint": pa.Column(str, _one_of(TIMEPOINTS)),
        "role": pa.Column(str, _one_of(ROLES)),
        "acquired_on": pa.Column(str, [_TWO_DAYS, _SERIAL, _DATE]),
        "sex": pa.Column(str, _one_of(("F", "M")), nullable=True, required=False),
        "age_years": _number(pa.Check.in_range(0, 120, error="must be from 0 to 120")),
        "n_crlm": _number(_COUNT),
        "largest_crlm_diameter_mm": _number(pa.Check.in_range(0, 1000, error="must be 0 to 1000")),
        "slice_thickness_mm": _number(_THICKNESS),
        "scanner": pa.Column(str, _PRINTABLE, nullable=True, required=False),
    },
    strict="filter",  # What a hospital's table has beside these may tell who somebody is.
)
"""Before systemic therapy `pre`, after it `post`; diameters in mm, ages in years, ISO dates.

Other columns are dropped. Where slice thickness and scanner are left out, they are taken from the
scans.
"""


def check_scan_table(table: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Check a scan table and sort it by scan.

    Args:
        table: As read from `scans.csv`, one row a scan.
        cohort: Name of the cohort, for messages.

    Returns:
        The table sorted by `scan_id`, its index 0 … n-1.

    Raises:
        CohortError: There is no scan, a column is missing, or a value is not allowed. Every fault
            is named at once.
    """
    if table.empty:
        raise CohortError(f"The scan table of cohort '{cohort}' has no scan: add a row for each.")
    try:
        table = SCAN_TABLE.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise CohortError(
            f"The scan table of cohort '{cohort}' cannot be used:\n"
            + "\n".join(f"- {fault}." for fault in _column_faults(error.failure_cases, table))
        ) from None
    return table.sort_values("scan_id", ignore_index=True)


def _column_faults(failures: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    faults = []
    # A check that could not run for a value's type fails for the whole column: said already.
    told = set(failures.loc[failures["index"].notna(), "column"])
    for failure in failures.drop_duplicates(["column", "index", "failure_case"]).to_dict("records"):
        column, row, value = failure["column"], failure["index"], failure["failure_case"]
        if failure["check"] == "column_in_dataframe":
            faults.append(f"column '{value}' is missing: add it to scans.csv")
        elif pd.notna(row):
            rule = _rule(failure["check"])
            faults.append(
                f"{_place(table, row)}, column '{column}': {_shown(column, value)} {rule}"
            )
        elif column not in told:
            faults.append(f"column '{column}': {value!r} {_rule(failure['check'])}")
    return faults


def _rule(check: str) -> str:
    if "dtype" in check:
        return "is not a number" if "float" in check else "is not text: read the column as str"
    return _RULES.get(check, check)


def _place(table: pd.DataFrame, row: int) -> str:
    scan_id = table["scan_id"].get(row) if "scan_id" in table else None
    is_id = isinstance(scan_id, str) and re.fullmatch(NAME, scan_id)
    return f"scan '{scan_id}'" if is_id else f"row {row + 1}"


def _shown(column: str, value: object) -> str:
    """A value that is not allowed; of an id that has words only that: it may be a name."""
    words = column in ("scan_id", "patient_id") and re.search(r"[^\W\d_]{2}", str(value))
    return "what is there" if words and not re.fullmatch(NAME, str(value)) else repr(value)
