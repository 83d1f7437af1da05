"""What headers tell of the person and the day, to be held against the scan table.

Nothing of it is kept but a letter, whole years, a number of persons and a difference of days.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pydicom

PERSON_TAGS = (
    "PatientID", "PatientSex", "PatientAge", "PatientBirthDate",
    "StudyDate", "SeriesDate", "AcquisitionDate",
)  # fmt: skip
"""All that is read of a header for it; compared in memory and written nowhere."""

_DATES = ("AcquisitionDate", "SeriesDate", "StudyDate")
_FIRST_YEAR = 1971
"""There was no CT before: programs that hide dates write 1900."""
_AGES_YEARS = range(1, 111)
"""Others are what programs that hide ages write: `000Y`."""
_DAYS_A_UNIT = {"Y": 365.25, "M": 30.44, "W": 7.0, "D": 1.0}

Facts = dict[str, bool | int | float | str]


@dataclass(frozen=True, repr=False)
class Person:
    """Whose slice it is; None or empty where the header does not say so, or makes no sense.

    Attributes:
        patient: ID, to be compared only.
        sex: `F` or `M`.
        age_years: As the header says.
        birth_age_years: From the birth date to the scan's.
        days: Of the acquisition, series and study.
    """

    patient: str
    sex: str
    age_years: int | None
    birth_age_years: int | None
    days: frozenset[datetime.date]


def read_person(header: pydicom.Dataset) -> Person:
    """Read `PERSON_TAGS`; values without sense are as if not there."""
    told = {keyword: str(header.get(keyword) or "").strip() for keyword in PERSON_TAGS}
    days = [day for keyword in _DATES if (day := _date(told[keyword])) and day.year >= _FIRST_YEAR]
    born, sex = _date(told["PatientBirthDate"]), told["PatientSex"].upper()
    return Person(
        patient=told["PatientID"],
        sex=sex if sex in ("F", "M") else "",
        age_years=age_years(told["PatientAge"]),
        birth_age_years=_known(_years(born, days[0])) if born and days else None,
        days=frozenset(days),
    )


def age_years(text: str) -> int | None:
    """An age string of DICOM (PS3.5, AS), such as `063Y`, in whole years; None for no age."""
    found = re.fullmatch(r"(\d{1,3})([DWMY])", text)
    if not found:
        return None
    return _known(int(int(found[1]) * _DAYS_A_UNIT[found[2]] / _DAYS_A_UNIT["Y"]))


def inspect_persons(persons: Iterable[Person], acquired_on: str) -> Facts:
    """Tell what may be told of the persons in a series.

    Args:
        persons: Of its slices.
        acquired_on: The scan table's date (ISO).

    Returns:
        As far as the headers say so `header_sex`, `header_age_years`, `birth_age_years`, and
        `days_after_table` (from the table's date to the nearest of the headers').
    """
    facts: Facts = {}
    several = [*persons]
    said: dict[str, list[str | int | None]] = {
        "header_sex": [person.sex for person in several],
        "header_age_years": [person.age_years for person in several],
        "birth_age_years": [person.birth_age_years for person in several],
    }
    for fact, values in said.items():
        if known := [value for value in values if value]:
            facts[fact] = known[0]
    days = {day for person in several for day in person.days}
    if days:
        table = datetime.date.fromisoformat(acquired_on)
        facts["days_after_table"] = min(((day - table).days for day in days), key=abs)
    return facts


def n_patients(persons: Iterable[Person]) -> int:
    """Count different patients' IDs."""
    return len({person.patient for person in persons} - {""})


def _date(text: str) -> datetime.date | None:
    """`20200102`, and `2020.01.02` of old files."""
    try:
        return datetime.datetime.strptime(text.replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None


def _years(born: datetime.date, day: datetime.date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def _known(years: int) -> int | None:
    return years if years in _AGES_YEARS else None
