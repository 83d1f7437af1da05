import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from dicom_writer import write_series
from pydantic import ValidationError

from coala_kedro.sources.scan_table import ClinicalSheet, SheetError, propose_scan_table

SCAN = sitk.GetImageFromArray(np.zeros((2, 4, 4), np.int16))


@pytest.fixture
def folder(tmp_path):
    for scan_id, patient, age in (
        ("x1", "H-77", "063Y"),
        ("x2", "H-12", "018M"),
        ("x3", "H-77", ""),
    ):
        write_series(
            SCAN, tmp_path / scan_id, PatientID=patient, PatientAge=age, StudyDate="20200229"
        )
    return tmp_path


def propose(folder, sheet=None, description=None):
    scan_ids = {name: name for name in ("x1", "x2", "x3")}
    return propose_scan_table(scan_ids, folder, "test", {"x1": 4}, sheet, description)


def test_headers_fill_what_they_can_and_patients_are_numbered(folder):
    table = propose(folder).set_index("scan_id")
    assert list(table["patient_id"]) == ["P001", "P002", "P001"]
    assert set(table["acquired_on"]) == {"2020-02-29"}
    assert set(table["timepoint"]) == {""}
    assert set(table["role"]) == {"test"}
    assert table["age_years"].tolist()[:2] == [63, 1]
    assert table["n_crlm"].tolist()[0] == 4
    assert "H-77" not in table.to_csv()


def test_volumes_have_no_headers(tmp_path):
    table = propose_scan_table({"a.nii.gz": "a", "b.nii.gz": "b"}, tmp_path, "manual", {})
    assert list(table) == ["scan_id", "patient_id", "timepoint", "role", "acquired_on"]
    assert list(table["patient_id"]) == ["P001", "P002"]


SHEET = pd.DataFrame(
    {"id": ["H-77", "H-12"], "chemo": ["1", "0"], "size": ["3.5", "-999"], "sex": ["2", None]}
)
COLUMNS = {
    "timepoint": {"column": "chemo", "values": {"0": "pre", "1": "post"}},
    "largest_crlm_diameter_mm": {"column": "size", "factor": 10},
    "sex": {"column": "sex", "values": {"1": "M", "2": "F"}},
}


def test_a_clinical_sheet_fills_the_rest(folder):
    description = ClinicalSheet(patient="id", missing=["-999"], columns=COLUMNS)
    table = propose(folder, SHEET, description).set_index("scan_id")
    assert list(table["timepoint"]) == ["post", "pre", "post"]
    assert list(table["largest_crlm_diameter_mm"]) == [35.0, "", 35.0]
    assert list(table["sex"]) == ["F", "", "F"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"timepoint": {"column": "chemo", "values": {"0": "pre"}}}, "'chemo' holds '1'"),
        ({"timepoint": {"column": "therapy"}}, "no column therapy. It has: id, chemo"),
        ({"height": {"column": "size"}}, "no column height. It may have: scan_id"),
    ],
)
def test_what_does_not_fit_is_told(folder, columns, told):
    with pytest.raises(SheetError, match=told):
        propose(folder, SHEET, ClinicalSheet(patient="id", columns=columns))


def test_a_description_of_another_form_is_refused():
    with pytest.raises(ValidationError):
        ClinicalSheet(patient="id", columns={"sex": {"colunm": "sex"}})
