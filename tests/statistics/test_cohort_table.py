import pandas as pd
import pytest

from coala_kedro.scan_table_schema import check_scan_table
from coala_kedro.statistics.cohort_table import cohort_flow, table_1


@pytest.fixture
def scan_table():
    table = pd.DataFrame(
        {
            "scan_id": ["s1", "s2", "s3", "s4", "s5"],
            "patient_id": ["p1", "p1", "p2", "p3", "p4"],
            "timepoint": ["post", "pre", "pre", "post", "pre"],
            "role": ["manual", "manual", "unlabelled", "unlabelled", "test"],
            "acquired_on": ["2020-06-01", "2020-01-01", "2019-03-04", "2021-01-01", "2021-02-03"],
            "sex": ["F", "F", "M", "M", None],
            "age_years": [61, 60, 70, 50, 56],
            "n_crlm": [1, 9, 3, None, 3],
        }
    )
    return check_scan_table(table, "internal")


def rows(table):
    return dict(zip(table["characteristic"], table["value"], strict=True))


def test_scans_are_counted_by_role_and_timepoint(scan_table):
    described = rows(table_1(scan_table))
    assert described["Scans"] == "5"
    assert described["Patients"] == "4"
    assert [described[f"Scans, {role}"] for role in ("manual", "unlabelled", "test")] == [
        "2",
        "2",
        "1",
    ]
    assert described["Scans before systemic therapy, n (%)"] == "3 (60%)"
    assert described["Scans after systemic therapy, n (%)"] == "2 (40%)"


def test_a_patient_with_two_scans_counts_once_as_at_the_first(scan_table):
    # Ages 60, 70, 50, 56: the second scan's 61 is left out, whatever the order of the table.
    assert rows(table_1(scan_table))["Age, years, mean (SD)"] == "59.0 (8.4)"


def test_missing_values_are_left_out_and_counted(scan_table):
    described = rows(table_1(scan_table))
    assert described["Sex, female, n (%)"] == "1 (33%); 1 not recorded"
    assert described["Sex, male, n (%)"] == "2 (67%); 1 not recorded"
    assert described["CRLM per patient, mean (SD)"] == "5.0 (3.5); 1 not recorded"


def test_a_value_the_first_scan_lacks_comes_from_the_next(scan_table):
    scan_table.loc[scan_table["scan_id"] == "s2", "n_crlm"] = None
    # 1, 3 and 3 lesions.
    assert rows(table_1(scan_table))["CRLM per patient, mean (SD)"].startswith("2.3 (1.2)")


def test_a_column_no_hospital_recorded_says_so(scan_table):
    described = rows(table_1(scan_table))
    assert described["Largest CRLM diameter, mm, mean (SD)"] == "not recorded"


def test_every_cohort_has_the_same_rows(scan_table):
    bare = scan_table[["scan_id", "patient_id", "timepoint", "role", "acquired_on"]]
    for other in (bare, scan_table.iloc[:1], scan_table.iloc[:0]):
        assert rows(table_1(other)).keys() == rows(table_1(scan_table)).keys()


def test_the_flow_counts_every_scan_from_the_table_to_the_test():
    came_in = pd.DataFrame(
        [("a1", "a", "manual"), ("b1", "b", "unlabelled"), ("b2", "b", "unlabelled"),
         ("c1", "c", "test"), ("c2", "c", "test"), ("d1", "d", "test")],
        columns=["scan_id", "patient_id", "role"],
    )  # fmt: skip
    findings = pd.DataFrame(
        [("d1", "no_air", "refuse"), ("d1", "mask_empty", "refuse"), ("a1", "few", "warn")],
        columns=["scan_id", "code", "severity"],
    )
    flow = cohort_flow(came_in, came_in[:5], findings, scored=["c1", "c1"], pseudo_labelled=["b2"])
    counts = flow.set_index("step")[["n_scans", "n_patients"]].apply(tuple, axis=1)
    assert counts.to_dict() == {
        "came in": (6, 4),
        "refused": (1, 1),
        "refused: mask_empty": (1, 1),
        "refused: no_air": (1, 1),
        "used": (5, 3),
        "manual": (1, 1),
        "unlabelled": (2, 1),
        "test": (2, 1),
        "pseudo-labelled": (1, 1),
        "tested": (1, 1),
    }
