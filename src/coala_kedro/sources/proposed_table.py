"""A proposal of a scan table, from DICOM headers and a clinical sheet."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pydicom
from pydantic import BaseModel, ConfigDict, Field

from coala_kedro.imaging.dicom_headers import age_years
from coala_kedro.scan_table_schema import SCAN_TABLE
from coala_kedro.sources.survey import read_header
from coala_kedro.tables import as_date, as_id, as_number

TABLE_TAGS = {
    "PatientID": "to tell which scans are one patient's; compared in memory, numbered, never kept",
    "StudyDate": "acquired_on",
    "PatientSex": "sex",
    "PatientAge": "age_years",
}
"""All that is read of a header for a scan table, and what for."""


class _Column(BaseModel):
    """Where a column of the scan table comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    values: dict[str, str] | None = Field(None, description="What the sheet's values mean.")
    factor: float | None = Field(None, description="To the scan table's unit.")


class ClinicalSheet(BaseModel):
    """How a hospital's clinical sheet is read: a row a patient, or a row a CT.

    Attributes:
        patient: Its column with what the headers call PatientID, or with scan ids.
        date: Its column with the day of the CT, where a row is one.
        missing: Values that stand for none.
        columns: By column of the scan table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patient: str
    date: str | None = None
    missing: list[str] = []
    columns: dict[str, _Column]


class SheetError(ValueError):
    """A clinical sheet is not as its description says.

    Attributes:
        discreet: The message without what the sheet's cells and the headers hold.
    """

    def __init__(self, message: str, *held: Any) -> None:
        super().__init__(message)
        self.discreet = message
        for value in held:
            self.discreet = self.discreet.replace(f"'{value}'", "what is not shown here")


def propose_scan_table(
    scan_ids: Mapping[str, str],
    folder: Path,
    role: str,
    n_crlm: Mapping[str, int],
    sheet: pd.DataFrame | None = None,
    description: ClinicalSheet | None = None,
    taken: Collection[str] = (),
) -> pd.DataFrame:
    """Propose a scan table; what is not known is left empty, to be filled in.

    Args:
        scan_ids: By relative path of the scan: a folder of DICOM files, or a volume.
        folder: The hospital's.
        role: Of all scans.
        n_crlm: Segments that are lesions, by scan id, where that is known.
        sheet: The clinical sheet, as text.
        description: How it is read.
        taken: Patient ids of other hospitals.

    Returns:
        One row a scan, the columns of `scan_table_schema.SCAN_TABLE` that are needed or known.
        Patients are `P001` ... in the order of their scans. `attrs["not_in_sheet"]` are the rows
        of scans that are not in the sheet; they keep what the headers say.

    Raises:
        SheetError: The sheet lacks a column, has a value that the description does not know, or
            contradicts itself or the headers.
    """
    rows = []
    for path, scan_id in sorted(scan_ids.items(), key=lambda item: item[1]):
        header = _header(folder / path)
        age = age_years(str(header.get("PatientAge") or ""))
        rows.append(
            {
                "scan_id": scan_id,
                "patient_id": str(header.get("PatientID") or "").strip(),
                "timepoint": "",
                "role": role,
                "acquired_on": _date(str(header.get("StudyDate") or "")),
                "sex": header.get("PatientSex") if header.get("PatientSex") in ("F", "M") else "",
                "age_years": None if age is None else float(age),
                "n_crlm": n_crlm.get(scan_id),
            }
        )
    absent = []
    if sheet is not None and description is not None:
        absent = _fill_in(rows, sheet, description)
    table = pd.DataFrame(rows)
    table.attrs["not_in_sheet"] = absent
    patients = table["patient_id"].mask(table["patient_id"] == "", table["scan_id"])
    free = (p for n in itertools.count(1) if (p := f"P{n:03d}") not in taken)
    table["patient_id"] = patients.map(dict(zip(dict.fromkeys(patients), free, strict=False)))
    needed = [name for name, column in SCAN_TABLE.columns.items() if column.required]
    known = [c for c in table if c in needed or table[c].replace("", None).notna().any()]
    return table[known]


def made_up_scan_ids(table: pd.DataFrame) -> pd.Series:
    """Scan ids that tell nothing: the patient's number and the scan's, by day: `P001_1` ...

    Args:
        table: A proposed scan table.

    Returns:
        The ids, in the table's order.
    """
    by_day = table.sort_values(["patient_id", "acquired_on", "scan_id"])
    number = by_day.groupby("patient_id").cumcount() + 1
    return table["patient_id"] + "_" + number.astype(str)  # aligned by row


def _header(path: Path) -> pydicom.Dataset:
    for file in sorted(path.iterdir()) if path.is_dir() else []:
        with suppress(OSError):
            if header := read_header(file, TABLE_TAGS):  # a DICOMDIR has none of them
                return header
    return pydicom.Dataset()


def _date(text: str) -> str:
    """`20200102` as `2020-01-02`; anything else is no date."""
    parsed = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
    return "" if pd.isna(parsed) else f"{parsed:%Y-%m-%d}"


def _fill_in(
    scans: list[dict[str, Any]], sheet: pd.DataFrame, description: ClinicalSheet
) -> list[int]:
    """Write the sheet's values into the rows of a scan table; the rows that it has nothing for."""
    _check_columns(sheet, description)
    whose = sheet[description.patient].fillna("").astype(str).map(as_id)
    in_headers = {as_id(scan["patient_id"]) for scan in scans} - {""}
    key = "patient_id" if in_headers.intersection(whose) else "scan_id"
    days = _days(sheet, description.date)
    absent = []
    for number, scan in enumerate(scans):
        patient = rows = sheet[(whose == as_id(scan[key])) & (whose != "")]
        if description.date:
            rows = patient[days[patient.index] == (scan["acquired_on"] or "no day")]
        if rows.empty:
            absent.append(number)
            continue
        for name, column in description.columns.items():
            # A patient has one sex, whatever the day.
            cells = (patient if name == "sex" else rows)[column.column]
            value = _one_value(name, column, cells, description.missing)
            _compare(name, scan.get(name), value, rows)
            scan[name] = value
    for scan, name in itertools.product(scans, description.columns):
        scan.setdefault(name, "")
    return absent


def _check_columns(sheet: pd.DataFrame, description: ClinicalSheet) -> None:
    wanted = [description.patient, *(c.column for c in description.columns.values())]
    wanted += [description.date] if description.date else []
    for column in wanted:
        if (found := [*sheet.columns].count(column)) != 1:
            raise SheetError(
                f"The clinical sheet has {found or 'no'} column{'s' if found else ''} {column}. "
                f"It has: {', '.join(map(str, sheet.columns))}."
            )
    if unknown := sorted(set(description.columns) - set(SCAN_TABLE.columns)):
        raise SheetError(
            f"A scan table has no column {', '.join(unknown)}. It may have: "
            f"{', '.join(SCAN_TABLE.columns)}."
        )


def _one_value(name: str, column: _Column, cells: pd.Series, missing: Collection[str]) -> Any:
    """The one value that the rows of a patient or CT have; empty if none has any."""
    read = {row: _value(name, column, cell, row, missing) for row, cell in cells.items()}
    values = {row: value for row, value in read.items() if value != ""}
    if len(set(values.values())) > 1:
        listed = " and ".join(f"'{value}' (row {row})" for row, value in values.items())
        raise SheetError(
            f"The clinical sheet's column '{column.column}' has {listed} for one and the same. "
            "Mend it; or, if a row is a CT, describe by `date` which column has its day.",
            *values.values(),
        )
    return next(iter(values.values()), "")


def _compare(name: str, header: Any, value: Any, rows: pd.DataFrame) -> None:
    """Make sure that the sheet does not contradict the scan's header."""
    if name not in ("sex", "acquired_on", "age_years") or "" in (value, header or ""):
        return
    # The sheet's age need not be of the day of the scan.
    if abs(header - value) > 1 if name == "age_years" else header != value:
        raise SheetError(
            f"The clinical sheet, row {', '.join(map(str, rows.index))}: {name} is '{value}', but "
            f"the scan's header says '{header}'. Is it the same patient? Mend one, or leave {name} "
            "out of the sheet's description.",
            *(value, header),
        )


def _value(
    name: str, column: _Column, cell: Any, row: Any, missing: Collection[str]
) -> float | str:
    text = "" if pd.isna(cell) else str(cell).strip()
    place = f"The clinical sheet's column '{column.column}' holds '{text}' (row {row}), which"
    if text in ("", *missing):
        return ""
    if column.values is not None:
        if text not in column.values:
            raise SheetError(
                f"{place} its description does not know: {', '.join(column.values)}.", text
            )
        return column.values[text]
    if name == "acquired_on":
        return _day(as_date(text), place, text)
    if not str(SCAN_TABLE.columns[name].dtype).startswith("float"):
        return text
    try:
        return float(as_number(text)) * (column.factor or 1)
    except ValueError:
        raise SheetError(f"{place} is no number, or could be two.", text) from None


def _days(sheet: pd.DataFrame, column: str | None) -> pd.Series:
    days = (sheet[column] if column else pd.Series("", sheet.index)).fillna("").map(as_date)
    for row, day in days[days != ""].items():
        _day(day, f"The clinical sheet's column '{column}' holds '{day}' (row {row}), which", day)
    return days


def _day(text: str, place: str, held: str) -> str:
    if pd.isna(pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")):
        raise SheetError(f"{place} is no day, or could be two: write it as YYYY-MM-DD.", held)
    return text
