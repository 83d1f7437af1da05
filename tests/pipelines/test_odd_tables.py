"""Scan tables that are odd but sound: the study uses the same scans as with our own table."""

import shutil

import pandas as pd
import pytest
from hospital import Hospital

from coala_kedro.datasets import ScanTableDataset


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Hospital(tmp_path_factory.mktemp("sound")).build()


@pytest.fixture
def hospital(sound, tmp_path):
    shutil.copytree(sound.root, tmp_path / "hospital")
    return Hospital(tmp_path / "hospital")


def rename(hospital, scan_id, new):
    for path in hospital.root.rglob(f"{scan_id}.nii.gz"):
        path.rename(path.with_name(f"{new}.nii.gz"))
    hospital.table = hospital.table.replace({"scan_id": {scan_id: new}})


def of_excel(hospital, path):
    days = pd.to_datetime(hospital.table["acquired_on"])
    hospital.table.assign(acquired_on=days).to_excel(path, index=False)


def of_germany(hospital, path):
    days = pd.to_datetime(hospital.table["acquired_on"]).dt.strftime("%d.%m.%Y")
    table = hospital.table.assign(acquired_on=days, Bemerkung='für später; "alt"')
    table.to_csv(path, sep=";", index=False, encoding="cp1252")


def as_unicode_text(hospital, path):
    hospital.table.to_csv(path, sep="\t", index=False, encoding="utf-16")


def with_headings_of_people(hospital, path):
    headings = ["Scan ID", " Patient-ID", "Timepoint", "ROLE", "Acquired on"]
    hospital.table.set_axis(headings, axis=1).to_csv(path, index=False)


def with_ids_that_look_like_none(hospital, path):
    for scan_id, new in (("a_post", "NA"), ("a_pre", "001"), ("b_pre", "1E5")):
        rename(hospital, scan_id, new)
    hospital.table = hospital.table.replace({"patient_id": {"a": "nan", "b": "NULL"}})
    hospital.table.to_csv(path, index=False)


def with_empty_rows(hospital, path):
    text = hospital.table.to_csv(index=False).replace("\n", ",,\n")
    path.write_text(f"sep=,\n\n{text},,,,,,\n,,,,,,\n", encoding="utf-8-sig")


TABLES = {
    "Excel": of_excel,
    "a German Excel's CSV": of_germany,
    "Unicode text": as_unicode_text,
    "headings of people": with_headings_of_people,
    "ids that look like none": with_ids_that_look_like_none,
    "empty rows": with_empty_rows,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_odd_but_sound_passes(hospital, tmp_path, name):
    TABLES[name](hospital, tmp_path / "table")
    expected = hospital.table.sort_values("scan_id", ignore_index=True)
    hospital.table = ScanTableDataset(filepath=str(tmp_path / "table")).load()
    accepted, findings = hospital.screen()
    assert findings.empty, findings.to_string()
    pd.testing.assert_frame_equal(accepted[expected.columns], expected)


class Unlabelled(Hospital):
    """Nobody outlined anything, as the entry that `kedro hospital new` proposes then says."""

    raw_masks = {}  # noqa: RUF012


def test_a_hospital_where_nobody_outlined_anything_passes(hospital):
    unlabelled = Unlabelled(hospital.root)
    unlabelled.table["role"] = "unlabelled"
    accepted, findings = unlabelled.screen()
    assert findings.empty
    assert len(accepted) == 3
