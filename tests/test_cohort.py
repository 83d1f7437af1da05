from pathlib import Path

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, DatasetError

from coala_kedro.cohort import CohortError, check_readers, scans_with_role
from coala_kedro.datasets import ScanTableDataset
from coala_kedro.scan_table_schema import check_scan_table

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "scan_id": ["c_pre", "a_pre", "a_post", "b_pre"],
            "patient_id": ["c", "a", "a", "b"],
            "timepoint": ["pre", "pre", "post", "pre"],
            "role": ["unlabelled", "manual", "manual", "test"],
            "acquired_on": ["2019-12-31", "2020-02-29", "2020-05-01", "2021-01-01"],
            "age_years": [60, 61, 61, None],
            "sex": ["F", "M", "M", None],
        }
    )


def faults_of(table):
    with pytest.raises(CohortError) as raised:
        check_scan_table(table, "internal")
    title, *faults = str(raised.value).splitlines()
    assert title == "The scan table of cohort 'internal' cannot be used:"
    return faults


def test_a_table_is_sorted_by_scan(table):
    checked = check_scan_table(table, "internal")
    assert list(checked["scan_id"]) == ["a_post", "a_pre", "b_pre", "c_pre"]
    assert list(checked.index) == [0, 1, 2, 3]
    assert list(checked["patient_id"]) == ["a", "a", "b", "c"]


def test_a_table_without_scans_is_told(table):
    with pytest.raises(CohortError, match="has no scan: add a row for each"):
        check_scan_table(table.head(0), "internal")


@pytest.mark.parametrize(
    ("column", "value"),
    [("n_crlm", 1.5), ("n_crlm", float("inf")), ("n_crlm", -1.0),
     ("largest_crlm_diameter_mm", float("inf")), ("slice_thickness_mm", float("inf"))],
)  # fmt: skip
def test_a_number_that_cannot_be_is_named(table, column, value):
    (fault,) = faults_of(table.assign(**{column: [1, value, 2, None]}))
    assert f"scan 'a_pre', column '{column}': {value} must be" in fault


def test_optional_columns_may_be_absent(table):
    assert len(check_scan_table(table.drop(columns=["sex", "age_years"]), "internal")) == 4


@pytest.mark.parametrize(
    "value",
    ["A1\n", "A1\r\n", "A1 ", "\nA1", "A1\x00", "A1\u2028", "Ä1", "../A1", ".A1", "=A1"],
)
@pytest.mark.parametrize("column", ["scan_id", "patient_id"])
def test_ids_match_to_their_end(table, column, value):
    table.loc[1, column] = value
    (fault,) = faults_of(table)
    assert NO_NAME in fault


def test_an_id_of_64_characters_is_one(table):
    table.loc[1, "scan_id"] = "a" * 64
    check_scan_table(table, "internal")
    table.loc[1, "scan_id"] = "a" * 65
    (fault,) = faults_of(table)
    assert "at most 64 characters" in fault


@pytest.mark.parametrize("value", ["CON", "nul", "Com1", "LPT9"])
def test_ids_can_be_names_of_files(table, value):
    table.loc[1, "scan_id"] = value
    (fault,) = faults_of(table)
    assert "cannot be the name of a file in Windows" in fault
    table.loc[1, "scan_id"] = f"{value}1x"
    check_scan_table(table, "internal")


def test_ids_differ_by_more_than_capitals(table):
    table.loc[1, "scan_id"] = "C_PRE"
    faults = faults_of(table)
    assert len(faults) == 2
    assert all("with other capitals" in fault for fault in faults)


@pytest.mark.parametrize("value", ["GE\x1b[31m", "GE\nEvil", "G" * 129])
def test_a_scanner_has_a_name_that_can_be_printed(table, value):
    table["scanner"] = ["SIEMENS SOMATOM <Force>", value, None, "Canon Größe"]
    (fault,) = faults_of(table)
    assert "can be printed" in fault


@pytest.mark.parametrize(
    "reader",
    [
        "a/b",
        "..",
        ".hidden",
        "a\nb",
        "<script>",
        "a\\b",
        "",
        "a" * 65,
        "consensus",
        "Consensus",
        "a\x1b",
    ],
)
def test_readers_have_names_that_can_be_used(reader):
    with pytest.raises(
        CohortError, match=r"1 of 2 readers of cohort 'internal' have names"
    ) as error:
        check_readers(["reader_1", reader], "internal")
    assert reader in ("", "consensus") or f"'{reader}'" not in str(error.value)
    check_readers(["reader_1", "Dr. Müller", "r-2"], "internal")


@pytest.mark.parametrize("column", ["scan_id", "patient_id", "timepoint", "role", "acquired_on"])
def test_a_missing_column_is_named(table, column):
    assert faults_of(table.drop(columns=column)) == [
        f"- column '{column}' is missing: add it to scans.csv."
    ]


NOT_A_DATE = "must be a date as YYYY-MM-DD"
NO_NAME = "must be letters, digits, '_' and '-', the first a letter or a digit"


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("timepoint", "after", "must be one of pre, post"),
        ("role", "train", "must be one of manual, unlabelled, test"),
        ("acquired_on", "29/02/2020", NOT_A_DATE),
        ("acquired_on", "2020-2-9", NOT_A_DATE),
        ("acquired_on", "2021-02-29", NOT_A_DATE),
        ("acquired_on", "2020-02-29 10:15", NOT_A_DATE),
        ("patient_id", "a/../b", NO_NAME),
        ("patient_id", "", NO_NAME),
        ("sex", "female", "must be one of F, M"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_its_scan_and_the_rule(
    table, column, value, rule
):
    table.loc[1, column] = value
    assert faults_of(table) == [f"- scan 'a_pre', column '{column}': {value!r} {rule}."]


@pytest.mark.parametrize(
    ("value", "rule"), [("sixty", "is not a number"), (600, "must be from 0 to 120")]
)
def test_an_age_that_cannot_be_is_named(table, value, rule):
    table["age_years"] = table["age_years"].astype(object)
    table.loc[1, "age_years"] = value
    (fault,) = faults_of(table)
    assert fault.startswith("- scan 'a_pre', column 'age_years': ")
    assert fault.endswith(f"{rule}.")


def test_an_empty_cell_is_named(table):
    table.loc[1, "role"] = None
    (fault,) = faults_of(table)
    assert fault.startswith("- scan 'a_pre', column 'role': ")
    assert fault.endswith("is no value: fill it in.")


def test_a_row_without_a_scan_is_named_by_its_number(table):
    table.loc[2, "scan_id"] = None
    (fault,) = faults_of(table)
    assert fault.startswith("- row 3, column 'scan_id': ")


def test_a_scan_that_is_there_twice_is_named(table):
    table.loc[2, "scan_id"] = "a_pre"
    assert set(faults_of(table)) == {
        "- scan 'a_pre', column 'scan_id': 'a_pre' is there more than once: give each scan an id "
        "of its own."
    }


@pytest.mark.parametrize("name", ["Müller, Hans", "Hans^Quxfather", "Quxfather "])
def test_an_id_that_is_a_name_is_not_shown(table, name):
    table.loc[1, "patient_id"] = name
    table.loc[2, "scan_id"] = name
    table.loc[2, "role"] = "train"
    assert set(faults_of(table)) == {
        f"- scan 'a_pre', column 'patient_id': what is there {NO_NAME}.",
        f"- row 3, column 'scan_id': what is there {NO_NAME}.",
        "- row 3, column 'role': 'train' must be one of manual, unlabelled, test.",
    }


def test_columns_that_the_study_does_not_know_are_dropped(table):
    table["patient_name"] = "Somebody"
    assert "patient_name" not in check_scan_table(table, "internal")


def test_a_patient_may_be_outlined_at_one_timepoint_and_unlabelled_at_the_other(table):
    table.loc[2, "role"] = "unlabelled"
    assert len(check_scan_table(table, "internal")) == 4


def test_ids_read_as_numbers_are_named(table):
    table["patient_id"] = [1, 2, 2, 3]
    faults = faults_of(table)
    assert len(faults) == 4
    assert faults[1] == (
        "- scan 'a_pre', column 'patient_id': 2 is not text: read the column as str."
    )


def test_several_faults_are_told_at_once(table):
    table.loc[0, "timepoint"] = "during"
    table.loc[1, "acquired_on"] = "1 May"
    faults = "\n".join(faults_of(table.drop(columns="sex").assign(sex="x")))
    for part in ("'c_pre', column 'timepoint'", "'a_pre', column 'acquired_on'"):
        assert faults.count(part) == 1
    assert faults.count("column 'sex': 'x' must be one of F, M") == 4


def test_scans_of_roles_come_in_the_tables_order(table):
    assert scans_with_role(table, "manual", "unlabelled") == ["c_pre", "a_pre", "a_post"]
    assert scans_with_role(table, "test") == ["b_pre"]
    assert scans_with_role(table) == []


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def catalog(root):
    loader = OmegaConfigLoader(
        str(CONF),
        base_env="base",
        default_run_env="base",
        runtime_params={"raw": str(root / "raw"), "data": str(root / "data")},
    )
    return DataCatalog.from_config(loader["catalog"])


@pytest.mark.parametrize("entry", ["internal.scan_table", "internal.accepted_scans"])
def test_ids_that_look_like_numbers_survive_the_catalog(catalog, table, entry):
    table["scan_id"] = ["0012", "1e5", "007", "0"]
    table["patient_id"] = ["012", "7", "7", "0x1"]
    catalog.save(entry, check_scan_table(table, "internal"))
    loaded = check_scan_table(catalog.load(entry), "internal")
    assert list(loaded["scan_id"]) == ["0", "0012", "007", "1e5"]
    assert list(loaded["patient_id"]) == ["0x1", "012", "7", "7"]


@pytest.mark.parametrize(
    "entry",
    ["scan_metrics", "organ_metrics", "lesion_metrics", "candidate_metrics", "reader_metrics",
     "evaluation.teacher_internal.scores", "evaluation.teacher_internal.lesion_scores",
     "evaluation.teacher_internal.organ_scores", "evaluation.teacher_internal.candidates",
     "evaluation.internal_reader_scores", "pseudo_label_review"],
)  # fmt: skip
def test_an_id_that_is_na_survives_the_study(catalog, entry):
    catalog.save(entry, pd.DataFrame({"scan_id": ["NA", "1"], "dice": [float("nan"), 0.5]}))
    loaded = catalog.load(entry)
    assert list(loaded["scan_id"]) == ["NA", "1"]
    assert loaded["dice"].isna().tolist() == [True, False]


def test_an_absent_table_is_named_with_what_to_do(catalog, root):
    path = f"{root}/raw/external/scans.csv"
    with pytest.raises(
        DatasetError, match=f"no scan table {path}.* columns scan_id, .* catalog entry"
    ):
        catalog.load("external.scan_table")


def test_a_hospitals_table_may_have_another_separator(tmp_path, table):
    table["patient_id"] = ["012", "7", "7", "3"]
    table.to_csv(tmp_path / "scans.csv", sep=";", index=False)
    dataset = ScanTableDataset(filepath=str(tmp_path / "scans.csv"), load_args={"sep": ";"})
    assert set(check_scan_table(dataset.load(), "internal")["patient_id"]) == {"012", "7", "3"}
