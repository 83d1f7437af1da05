"""Scan tables as hospitals' programs write them."""

import codecs
import io
import logging
from datetime import date, datetime

import openpyxl
import pandas as pd
import pytest
from kedro.io import DatasetError

from coala_kedro.cohort import CohortError
from coala_kedro.datasets import ScanTableDataset
from coala_kedro.scan_table_schema import check_scan_table

COLUMNS = ["scan_id", "patient_id", "timepoint", "role", "acquired_on", "sex", "age_years"]
HEAD = ",".join(COLUMNS)
ROWS = [
    ["s1", "NA", "pre", "manual", "2020-01-02", "F", "63.5"],
    ["001", "1E5", "post", "test", "2020-12-31", "", "70"],
]
CSV = "\n".join([HEAD, *(",".join(row) for row in ROWS)]) + "\n"
GERMAN = CSV.replace(",", ";").replace("63.5", "63,5")


def workbook(*rows, before=(), **cells):
    """An Excel file; `cells` by address."""
    book = openpyxl.Workbook()
    for row in [*before, COLUMNS, *rows]:
        book.active.append(row)
    for address, value in cells.items():
        book.active[address] = value
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


SHEET_ROWS = [
    ["s1", "NA", "pre", "manual", datetime(2020, 1, 2), "F", 63.5],
    ["001", "1E5", "post", "test", date(2020, 12, 31), None, 70],
]

SOUND = {
    "as we write it": CSV.encode(),
    "semicolons, decimal comma, UTF-8 with its mark": GERMAN.encode("utf-8-sig"),
    "tabs": CSV.replace(",", "\t").encode(),
    "Unicode text": GERMAN.replace(";", "\t").encode("utf-16"),
    "Unicode text, the other way round": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "a remark in Windows-1252": "".join(
        f"{line},für später\n" for line in CSV.splitlines()
    ).encode("cp1252"),
    "Windows' ends of lines": CSV.replace("\n", "\r\n").encode(),
    "an old Mac's ends of lines": CSV.replace("\n", "\r").encode(),
    "blanks after commas": CSV.replace(",", " , ").encode(),
    "the line that tells Excel the delimiter": b"sep=;\r\n" + GERMAN.encode(),
    "quotes around everything": "\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in CSV.splitlines()
    ).encode(),
    "headings of two lines": CSV.replace("age_years", '"Age\n(years)"').encode(),
    "headings as people write them": CSV.replace(
        HEAD, "Scan ID,Patient-ID,TIMEPOINT,Role ,Acquired on,Sex,Age (years)"
    ).encode(),
    "empty rows and columns": (CSV.replace("\n", ",,\n") + ",,,,,,,,\n\n").encode(),
    "dates with dots": CSV.replace("2020-01-02", "2.1.2020").replace("2020-12-31", "31.12.2020"
    ).encode(),
    "dates with a time": CSV.replace("-02", "-02 10:15").replace("-31", "-31T00:00:00").encode(),
    "dates that are but one": CSV.replace("2020-12-31", "12/31/2020").encode(),
    "dates of DICOM": CSV.replace("2020-01-02", "20200102").encode(),
    "no value": CSV.replace(",,70", ",n/a,70").encode(),
    "Excel": workbook(*SHEET_ROWS),
    "Excel, its date as text": workbook(*SHEET_ROWS, E2="2020-01-02"),
    "Excel, empty rows and columns": workbook([None], *SHEET_ROWS, before=[[], []], Z30=" "),
}  # fmt: skip


def load(tmp_path, content, suffix="csv", **arguments):
    (tmp_path / f"scans.{suffix}").write_bytes(content)
    return ScanTableDataset(filepath=str(tmp_path / f"scans.{suffix}"), **arguments).load()


def expected():
    rows = [[cell or None for cell in row] for row in ROWS]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return check_scan_table(table.astype({"age_years": float}), "internal")


@pytest.mark.parametrize("name", SOUND)
def test_a_table_is_read_whatever_wrote_it(tmp_path, name):
    suffix = "xlsx" if name.startswith("Excel") else "csv"
    table = check_scan_table(load(tmp_path, SOUND[name], suffix), "internal")
    pd.testing.assert_frame_equal(table, expected())


def test_the_suffix_does_not_tell_what_a_file_is(tmp_path):
    table = load(tmp_path, SOUND["Excel"], "csv")
    pd.testing.assert_frame_equal(check_scan_table(table, "internal"), expected())


def test_a_sheet_and_a_delimiter_can_be_told(tmp_path):
    book = openpyxl.load_workbook(io.BytesIO(SOUND["Excel"]))
    book.create_sheet("About", 0).append(["Scans of 2020"])
    content = io.BytesIO()
    book.save(content)
    sheet = {"sheet_name": "Sheet"}
    assert len(load(tmp_path, content.getvalue(), "xlsx", load_args=sheet)) == 2
    with pytest.raises(DatasetError, match=r"none of the headings scan_id.*by load_args"):
        load(tmp_path, content.getvalue(), "xlsx")
    odd = b"Scans, of 2020\n" + CSV.replace(",", "^").encode()
    assert len(load(tmp_path, odd, load_args={"sep": "^", "skiprows": 1})) == 2


NOT_USED = {
    "an old Excel file": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel file .* save it as"),
    "half an Excel file": (workbook(*SHEET_ROWS)[:3000], "cannot be read as an Excel file"),
    "nothing": (b"\n \n", "it is empty"),
    "two columns that are one": (CSV.replace("age_years", "Sex ").encode(),
                                 "'sex' and 'Sex' are both 'sex': remove one"),
    "a decimal comma between commas": (CSV.replace("63.5", "63,5").encode(),
                                       "row 2 has more cells than there are headings"),
    "a quote that never ends": (CSV.replace("manual", '"manual').encode(), "cannot be read as CSV"),
    "a title above": (b"Scans of 2020,,,,,,\n" + CSV.encode(), "Remove what is above"),
    "a web page": (b"<html><table><tr><td>scan_id</td></tr></table>", "none of the headings"),
    "no text": (b"scan_id\0,patient_id\n", "save it as .xlsx or 'CSV UTF-8'"),
    "of no character set": (CSV.encode() + b"\x81\x8d", "are not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_USED)
def test_what_is_no_scan_table_is_told_with_the_remedy(tmp_path, name):
    content, told = NOT_USED[name]
    with pytest.raises(DatasetError, match=told):
        load(tmp_path, content)


REFUSED = {
    "a date that could be two": (
        CSV.replace("2020-01-02", "02/03/2020").encode(),
        "'02/03/2020' could be two days: write it as YYYY-MM-DD",
    ),
    "a date that could be two, with dashes": (
        CSV.replace("2020-01-02", "2-3-2020").encode(),
        "'2-3-2020' could be two days",
    ),
    "a year of two digits": (CSV.replace("2020-01-02", "02.01.20").encode(), "must be a date"),
    "a day as Excel counts": (
        CSV.replace("2020-01-02", "43832").encode(),
        "'43832' is how Excel counts days: format the cell as a date",
    ),
    "a number that could be two": (GERMAN.replace("63,5", "1,250").encode(), "'1,250' is not a"),
    "a number with its unit": (CSV.replace("63.5", "63 years").encode(), "'63 years' is not a"),
    "an id that Excel made a date": (
        workbook(*SHEET_ROWS, B2=datetime(2020, 3, 1)),
        "'2020-03-01 00:00:00' must be letters, digits",
    ),
    "an id that Excel rounded": (
        workbook(*SHEET_ROWS, B2=12345678901234567),
        r"'1.234568E\+16' must be letters, digits",
    ),
    "an id as a power of ten": (CSV.replace("1E5", "1E+05").encode(), r"'1E\+05' must be"),
    "an empty id": (CSV.replace("NA,pre", " ,pre").encode(), "column 'patient_id': .* is no value"),
    "no timepoint": (CSV.replace("pre", "NA").encode(), "'NA' must be one of pre, post"),
    "a row that ends early": (CSV.replace(",test,2020-12-31,,70", "").encode(), "'role': .* no v"),
    "a formula without its value": (workbook(*SHEET_ROWS, E2="=TODAY()"), "'acquired_on': .* no v"),
    "a merged cell": (workbook(SHEET_ROWS[0], ["001", None, *SHEET_ROWS[1][2:]]), "'patient_id': "),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_cell_that_could_mean_two_things_is_refused_and_never_guessed(tmp_path, name):
    content, told = REFUSED[name]
    with pytest.raises(CohortError, match=told):
        check_scan_table(load(tmp_path, content), "internal")


@pytest.mark.parametrize("identifier", ["NA", "NULL", "None", "nan", "001", "1E5", "n-a", "true"])
def test_an_id_is_what_is_written(tmp_path, identifier):
    table = load(tmp_path, CSV.replace("s1,NA", f"{identifier},{identifier}").encode())
    assert table["scan_id"][0] == table["patient_id"][0] == identifier


def test_whole_numbers_of_excel_are_ids_without_decimals(tmp_path):
    table = load(tmp_path, workbook(*SHEET_ROWS, A2=12.0, B2=100000), "xlsx")
    assert [*table.loc[0, ["scan_id", "patient_id"]]] == ["12", "100000"]
    table = load(tmp_path, CSV.replace("s1,NA", "12.0,7.0").encode())
    assert [*table.loc[0, ["scan_id", "patient_id"]]] == ["12", "7"]


@pytest.mark.parametrize(
    ("heading", "known"),
    [("Age", "age_years"), ("ageyear", "age_years"), ("Age_yrs", "age_years"),
     ("age in years", "age_years")],
)  # fmt: skip
def test_a_column_that_looks_like_a_known_one_is_told(tmp_path, caplog, heading, known):
    with caplog.at_level(logging.WARNING):
        table = load(tmp_path, CSV.replace("age_years", heading).encode())
    assert heading in table
    (said,) = caplog.messages
    assert f"'{heading}' is left out: if it is '{known}', call it so" in said


@pytest.mark.parametrize(
    "day", ["2-Jan-2020", "02 Jan 2020", "2 January 2020", "02JAN2020", '"Jan 2, 2020"']
)
def test_a_month_by_its_name_is_read(tmp_path, day):
    table = load(tmp_path, CSV.replace("2020-01-02", day).encode())
    assert table["acquired_on"][0] == "2020-01-02"


def test_a_mark_of_utf_8_before_other_letters_is_left_out(tmp_path):
    content = codecs.BOM_UTF8 + CSV.replace("age_years", "Größe").encode("cp1252")
    assert [*load(tmp_path, content)["scan_id"]] == ["s1", "001"]


def test_one_sheet_is_read(tmp_path):
    with pytest.raises(DatasetError, match="tell one by load_args"):
        load(tmp_path, workbook(*SHEET_ROWS), "xlsx", load_args={"sheet_name": None})


def test_a_table_without_scans_is_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path, HEAD.encode()).empty
    assert caplog.messages == ["The scan table has headings, but no scan."]


def test_other_columns_are_left_alone(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        table = load(tmp_path, CSV.replace("age_years", "patient_name").encode())
    assert not caplog.messages
    assert [*table["patient_name"]] == ["63.5", "70"]


def test_what_the_study_writes_it_reads_again(tmp_path):
    table = expected().assign(scanner=['Müller "X", 64;2', None])
    dataset = ScanTableDataset(filepath=str(tmp_path / "accepted.csv"))
    dataset.save(table)
    read = check_scan_table(dataset.load(), "internal")
    pd.testing.assert_frame_equal(read, check_scan_table(table, "internal"))


def test_nothing_of_it_can_be_previewed(tmp_path):
    dataset = ScanTableDataset(filepath=str(tmp_path / "scans.csv"))
    assert not hasattr(dataset, "preview")
