"""A proposal of a scan table, from DICOM headers and a clinical sheet."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pydicom
from pydantic import BaseModel, ConfigDict, Field
from pydicom.errors import InvalidDicomError

from coala_kedro.cohort import SCAN_TABLE

TABLE_TAGS = {
    "PatientID": "to tell which scans are one patient's; compared in memory, numbered, never kept",
    "StudyDate": "acquired_on",
    "PatientSex": "sex",
    "PatientAge": "age_years",
}
"""All that is read of a header for a scan table, and what for."""

_DAYS_A_UNIT = {"Y": 365.25, "M": 30.44, "W": 7.0, "D": 1.0}


class _Column(BaseModel):
    """Where a column of the scan table comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    values: dict[str, str] | None = Field(None, description="What the sheet's values mean.")
    factor: float | None = Field(None, description="To the scan table's unit.")


class ClinicalSheet(BaseModel):
    """How a hospital's clinical sheet is read.

    Attributes:
        patient: Its column with what the headers call PatientID, or with scan ids.
        missing: Values that stand for none.
        columns: By column of the scan table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patient: str
    missing: list[str] = []
    columns: dict[str, _Column]


class SheetError(ValueError):
    """A clinical sheet is not as its description says."""


def propose_scan_table(
    scan_ids: Mapping[str, str],
    folder: Path,
    role: str,
    n_crlm: Mapping[str, int],
    sheet: pd.DataFrame | None = None,
    description: ClinicalSheet | None = None,
) -> pd.DataFrame:
    """Propose a scan table; what nobody told is left empty, to be filled in.

    Args:
        scan_ids: By relative path of the scan: a folder of DICOM files, or a volume.
        folder: The hospital's.
        role: Of all scans.
        n_crlm: Segments that are lesions, by scan id, where that is known.
        sheet: The clinical sheet, as text.
        description: How it is read.

    Returns:
        One row a scan, the columns of `cohort.SCAN_TABLE` that are needed or known. Patients are
        `P001` ... in the order of their scans.

    Raises:
        SheetError: The sheet lacks a column, or has a value that the description does not know.
    """
    rows = []
    for path, scan_id in sorted(scan_ids.items(), key=lambda item: item[1]):
        header = _header(folder / path)
        rows.append(
            {
                "scan_id": scan_id,
                "patient_id": str(header.get("PatientID") or scan_id),
                "timepoint": "",
                "role": role,
                "acquired_on": _date(str(header.get("StudyDate") or "")),
                "sex": header.get("PatientSex") if header.get("PatientSex") in ("F", "M") else "",
                "age_years": _age_years(str(header.get("PatientAge") or "")),
                "n_crlm": n_crlm.get(scan_id),
            }
        )
    table = pd.DataFrame(rows)
    if sheet is not None and description is not None:
        table = _with_clinical(table, sheet, description)
    numbers = {patient: n for n, patient in enumerate(dict.fromkeys(table["patient_id"]), start=1)}
    table["patient_id"] = [f"P{numbers[patient]:03d}" for patient in table["patient_id"]]
    needed = [name for name, column in SCAN_TABLE.columns.items() if column.required]
    known = [c for c in table if c in needed or table[c].replace("", None).notna().any()]
    return table[known]


def made_up_scan_ids(table: pd.DataFrame) -> pd.DataFrame:
    """Scan ids that tell nothing: the patient's number and the scan's, by day: `P001_1` ...

    Args:
        table: A proposed scan table.

    Returns:
        In the table's order, what stood for the scan (`found`) and its `scan_id`.
    """
    by_day = table.sort_values(["patient_id", "acquired_on", "scan_id"])
    number = by_day.groupby("patient_id").cumcount() + 1
    made_up = table["patient_id"] + "_" + number.astype(str)  # aligned by row
    return pd.DataFrame({"found": table["scan_id"], "scan_id": made_up})


def _header(path: Path) -> pydicom.Dataset:
    files = sorted(path.iterdir()) if path.is_dir() else []
    for file in files:
        try:
            with warnings.catch_warnings(action="ignore"):
                return pydicom.dcmread(
                    file, specific_tags=list(TABLE_TAGS), stop_before_pixels=True
                )
        except (InvalidDicomError, EOFError, OSError, ValueError):
            continue
    return pydicom.Dataset()


def _date(text: str) -> str:
    """`20200102` as `2020-01-02`; anything else is no date."""
    parsed = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
    return "" if pd.isna(parsed) else f"{parsed:%Y-%m-%d}"


def _age_years(text: str) -> float | None:
    """An age string of DICOM (PS3.5, AS), such as `063Y`, in whole years."""
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in _DAYS_A_UNIT:
        return None
    return float(int(int(number) * _DAYS_A_UNIT[unit] / _DAYS_A_UNIT["Y"]))


def _with_clinical(
    table: pd.DataFrame, sheet: pd.DataFrame, description: ClinicalSheet
) -> pd.DataFrame:
    wanted = {description.patient, *(c.column for c in description.columns.values())}
    if absent := sorted(wanted - set(sheet.columns)):
        raise SheetError(
            f"The clinical sheet has no column {', '.join(absent)}. It has: "
            f"{', '.join(map(str, sheet.columns))}."
        )
    if unknown := sorted(set(description.columns) - set(SCAN_TABLE.columns)):
        raise SheetError(
            f"A scan table has no column {', '.join(unknown)}. It may have: "
            f"{', '.join(SCAN_TABLE.columns)}."
        )
    by_patient = sheet.drop_duplicates(description.patient).set_index(description.patient)
    key = "patient_id" if table["patient_id"].isin(by_patient.index).any() else "scan_id"
    for name, told in description.columns.items():
        found = table[key].map(by_patient[told.column])
        table[name] = [_value(value, told, description) for value in found]
    return table


def _value(value: Any, told: _Column, description: ClinicalSheet) -> Any:
    text = "" if pd.isna(value) else str(value).strip()
    if text in ("", *description.missing):
        return ""
    if told.values is not None:
        if text not in told.values:
            raise SheetError(
                f"The clinical sheet's column '{told.column}' holds '{text}', which its "
                f"description does not know: {', '.join(told.values)}."
            )
        return told.values[text]
    return float(text) * told.factor if told.factor else text
