"""What a scan table is: one row a scan, its columns, roles and checks.

Raw layout of a cohort: `scans.csv`, `scans/<scan_id>.nii.gz`, `readers/<reader>/<scan_id>.nii.gz`
and, where organs are already outlined, `organs/<scan_id>.nii.gz`.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

TIMEPOINTS = ("pre", "post")
ROLES = ("manual", "unlabelled", "test")
OUTLINED_ROLES = ("manual", "test")
"""Roles whose scans readers have outlined."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"

SCAN_TABLE = pa.DataFrameSchema(
    {
        "scan_id": pa.Column(str, [pa.Check.str_matches(_NAME)], unique=True),
        "patient_id": pa.Column(str, pa.Check.str_matches(_NAME)),
        "timepoint": pa.Column(str, pa.Check.isin(TIMEPOINTS)),
        "role": pa.Column(str, pa.Check.isin(ROLES)),
        "acquired_on": pa.Column(str, pa.Check.str_matches(r"^\d{4}-\d{2}-\d{2}$")),
        "sex": pa.Column(str, pa.Check.isin(["F", "M"]), nullable=True, required=False),
        "age_years": pa.Column(
            float, pa.Check.in_range(0, 120), nullable=True, required=False, coerce=True
        ),
        "n_crlm": pa.Column(float, pa.Check.ge(0), nullable=True, required=False, coerce=True),
        "largest_crlm_diameter_mm": pa.Column(
            float, pa.Check.ge(0), nullable=True, required=False, coerce=True
        ),
    },
    strict=False,
)
"""Before systemic therapy `pre`, after it `post`; diameters in mm, ages in years, ISO dates."""


class CohortError(ValueError):
    """A cohort's table or files are not what the study can use; the message says what to mend."""


def check_scan_table(table: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Check a scan table and sort it by scan.

    Args:
        table: As read from `scans.csv`, one row a scan.
        cohort: Name of the cohort, for messages.

    Returns:
        The table sorted by `scan_id`, its index 0 … n-1.

    Raises:
        CohortError: A column is missing, a value is not allowed, or a patient has scans in
            training (`manual`, `unlabelled`) and in `test`. Every fault is named at once.
    """
    try:
        table = SCAN_TABLE.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise CohortError(_explain(error.failure_cases, table, cohort)) from None
    _refuse_shared_patients(table, cohort)
    return table.sort_values("scan_id", ignore_index=True)


def _explain(failures: pd.DataFrame, table: pd.DataFrame, cohort: str) -> str:
    lines = [f"The scan table of cohort '{cohort}' cannot be used:"]
    for failure in failures.itertuples():
        if failure.check == "column_in_dataframe":
            lines.append(f"- column '{failure.failure_case}' is missing: add it to scans.csv.")
            continue
        where = f"column '{failure.column}'"
        if pd.notna(failure.index) and "scan_id" in table:
            where = f"scan '{table.loc[failure.index, 'scan_id']}', {where}"
        lines.append(f"- {where}: value {failure.failure_case!r} breaks the rule {failure.check}.")
    lines.append(f"Allowed: timepoint one of {TIMEPOINTS}, role one of {ROLES}, dates YYYY-MM-DD.")
    return "\n".join(lines)


def _refuse_shared_patients(table: pd.DataFrame, cohort: str) -> None:
    in_test = table["role"] == "test"
    shared = sorted(set(table.loc[in_test, "patient_id"]) & set(table.loc[~in_test, "patient_id"]))
    if shared:
        scans = table.loc[table["patient_id"].isin(shared), ["scan_id", "role"]]
        listed = ", ".join(f"{row.scan_id} ({row.role})" for row in scans.itertuples())
        raise CohortError(
            f"Cohort '{cohort}': patients {shared} have scans in training and in test: {listed}. "
            "Give all scans of a patient the role 'test', or none."
        )


def scans_with_role(table: pd.DataFrame, *roles: str) -> list[str]:
    """Scan ids with one of the roles, in the table's order."""
    return list(table.loc[table["role"].isin(roles), "scan_id"])
