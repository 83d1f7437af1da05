import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from dicom_writer import write_series
from pydantic import ValidationError

from coala_kedro.sources.proposed_table import ClinicalSheet, SheetError, propose_scan_table
from coala_kedro.tables import read_table

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


def sheet(text):
    return read_table(text.encode())


def of_patient(**columns):
    return ClinicalSheet(patient="id", columns={k: {"column": v} for k, v in columns.items()})


def test_whom_the_sheet_does_not_know_keeps_what_the_headers_say(folder):
    table = propose(folder, sheet("id;age\nH-77;64\n"), of_patient(age_years="age"))
    assert table["age_years"].tolist() == [64, 1, 64]
    assert table.attrs["not_in_sheet"] == [1]
    assert table["patient_id"][1] == "P002"


@pytest.mark.parametrize(
    ("text", "columns", "told"),
    [
        ("id;s\nH-77;F\nH-12;F\nH-77;M\n", {"sex": "s"}, r"'s' has 'F' .row 2. and 'M' .row 4."),
        ("id;t\nH-77;pre\nH-77;post\n", {"timepoint": "t"}, "if a row is a CT, describe by `date`"),
        ("id;n\nH-77;3\nH-77;3,5\n", {"n_crlm": "n"}, r"'3.0' \(row 2\) and '3.5' \(row 3\)"),
        ("id;age\nH-77;36\n", {"age_years": "age"}, "row 2: age_years is '36.0', but .* '63.0'"),
        ("id;d\nH-77;1.3.2020\n", {"acquired_on": "d"}, "is '2020-03-01', but .* '2020-02-29'"),
        ("id;d\nH-77;02/03/2020\n", {"acquired_on": "d"}, "'02/03/2020' .row 2., which is no day"),
        ("id;n\nH-77;many\n", {"n_crlm": "n"}, "'many' .row 2., which is no number"),
        ("id;n\nH-77;1,250\n", {"n_crlm": "n"}, "could be two"),
        ("id;s;s\nH-77;F;M\n", {"sex": "s"}, "has 2 columns s"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_with_both_values(folder, text, columns, told):
    with pytest.raises(SheetError, match=told) as raised:
        propose(folder, sheet(text), of_patient(**columns))
    assert "H-77" not in str(raised.value)


def test_rows_that_say_the_same_do_not_contradict_each_other(folder):
    table = propose(folder, sheet("id;s\nH-77;F\nH-77;\nH-77;F\n"), of_patient(sex="s"))
    assert set(table["sex"]) == {"F"}


@pytest.fixture
def two_days(tmp_path):
    for scan_id, patient, day in (("x1", "7", "20200102"), ("x2", "7", "20200513"),
                                  ("x3", "8", "20200102")):  # fmt: skip
        write_series(SCAN, tmp_path / scan_id, PatientID=patient, StudyDate=day)
    return tmp_path


A_ROW_A_CT = "Pat;CT;chemo\n7.0;02.01.2020;no\n7.0;13/05/2020;yes\n8.0;1.2.2020;no\n9;;no\n"
BY_DAY = ClinicalSheet(
    patient="Pat",
    date="CT",
    columns={"timepoint": {"column": "chemo", "values": {"no": "pre", "yes": "post"}}},
)


def test_a_sheet_may_have_a_row_for_each_ct(two_days):
    table = propose(two_days, sheet(A_ROW_A_CT), BY_DAY)
    assert table["timepoint"].tolist() == ["pre", "post", ""]
    assert table.attrs["not_in_sheet"] == [2]


def test_a_day_that_could_be_two_is_refused(two_days):
    with pytest.raises(SheetError, match=r"'CT' holds '02/03/2020' \(row 2\), which is no day"):
        propose(two_days, sheet(A_ROW_A_CT.replace("02.01.2020", "02/03/2020")), BY_DAY)


def test_a_patient_of_two_rows_has_one_sex(two_days):
    text = "Pat;CT;sex\n7;2020-01-02;F\n7;2020-05-13;M\n8;2020-01-02;F\n"
    by_day = ClinicalSheet(patient="Pat", date="CT", columns={"sex": {"column": "sex"}})
    with pytest.raises(SheetError, match=r"'F' \(row 2\) and 'M' \(row 3\)"):
        propose(two_days, sheet(text), by_day)


def test_a_sheet_by_scan_tells_whose_volumes_are(tmp_path):
    scans = {f"{name}.nii.gz": name for name in ("a", "b", "c")}
    told = sheet("scan;who\na;Meier\nb;Meier\nc;NA\n")
    description = ClinicalSheet(patient="scan", columns={"patient_id": {"column": "who"}})
    table = propose_scan_table(scans, tmp_path, "test", {}, told, description)
    assert table["patient_id"].tolist() == ["P001", "P001", "P002"]


def test_two_hospitals_have_no_patient_of_one_name(folder):
    scan_ids = {name: name for name in ("x1", "x2", "x3")}
    table = propose_scan_table(scan_ids, folder, "test", {}, taken={"P001", "P003"})
    assert table["patient_id"].tolist() == ["P002", "P004", "P002"]
