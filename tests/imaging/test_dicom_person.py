"""What headers tell of the person, and what becomes of it."""

import pytest
from dicom_writer import save, slices_of, write_series
from test_dicom import scan_of

from coala_kedro.imaging.dicom import inspect_series
from coala_kedro.imaging.dicom_headers import age_years

PERSON = {
    "PatientID": "4711", "PatientSex": "F", "PatientAge": "063Y", "PatientBirthDate": "19570103",
    "StudyDate": "20200102", "PatientName": "Doe^Jane",
}  # fmt: skip
FACTS = {"header_sex", "header_age_years", "birth_age_years", "days_after_table", "n_patients"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "series"


def told(folder, acquired_on="2020-01-02"):
    facts = inspect_series(folder, acquired_on=acquired_on)
    return {fact: value for fact, value in facts.items() if fact in FACTS}


def test_letters_years_and_differences_are_told_and_nothing_else(folder):
    write_series(scan_of(), folder, **PERSON)
    expected = {"header_sex": "F", "header_age_years": 63, "birth_age_years": 62}
    assert told(folder) == expected | {"days_after_table": 0}
    assert told(folder, "2019-12-01") == expected | {"days_after_table": 32}
    assert not {*inspect_series(folder)} & FACTS
    shown = str(inspect_series(folder, acquired_on="2019-12-01"))
    for secret in ("4711", "Doe", "1957", "20200102", "2020-01-02"):
        assert secret not in shown


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientSex": "O"}, {"PatientAge": "000Y"}, {"PatientAge": ""},
        {"PatientBirthDate": "19000101"}, {"PatientBirthDate": ""},
        {"StudyDate": "19000101"}, {"StudyDate": ""},
    ],
)  # fmt: skip
def test_what_stands_in_for_what_is_hidden_is_not_told(folder, elements):
    nothing = dict.fromkeys(PERSON) | {"StudyDate": None}
    write_series(scan_of(), folder, **(nothing | elements))
    assert told(folder) == {}


def test_the_nearest_of_the_days_counts(folder):
    days = {"StudyDate": "20200102", "SeriesDate": "20200103", "AcquisitionDate": "20200103"}
    write_series(scan_of(), folder, **days)
    assert told(folder, "2020-01-03")["days_after_table"] == 0
    assert told(folder, "2020-01-06")["days_after_table"] == -3


def test_patients_are_counted_without_their_ids(folder):
    made = slices_of(scan_of())
    for number, slice_ in enumerate(made):
        slice_.PatientID = ("4711", "4712", "")[number % 3]
    save(made, folder)
    assert inspect_series(folder)["n_patients"] == 2
    assert "471" not in str(inspect_series(folder))


@pytest.mark.parametrize(
    ("text", "years"),
    [("063Y", 63), ("600M", 50), ("63Y", 63), ("000Y", None), ("120Y", None), ("", None)],
)
def test_ages_are_whole_years(text, years):
    assert age_years(text) == years


def test_spacings_that_are_told_twice(folder):
    write_series(scan_of(), folder, SpacingBetweenSlices=-2.5, ImagerPixelSpacing=[0.8, 0.7])
    facts = inspect_series(folder)
    assert facts["told_slice_spacing_mm"] == 2.5
    assert "other_pixel_spacing" not in facts
    write_series(scan_of(), folder, SpacingBetweenSlices=0, ImagerPixelSpacing=[1.0, 0.7])
    facts = inspect_series(folder)
    assert "told_slice_spacing_mm" not in facts
    told = "PixelSpacing is 0.8 x 0.7 mm, ImagerPixelSpacing 1 x 0.7 mm"
    assert facts["other_pixel_spacing"] == told
