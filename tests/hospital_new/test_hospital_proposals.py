"""What `kedro hospital new` proposes is loaded once, fits, and says what it could not do."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
import yaml
from dicom_writer import write_seg, write_series
from hospital import abdomen, image, write
from kedro.io import DatasetError, MemoryDataset

from coala_kedro import hospital_command
from coala_kedro.datasets import HospitalVolumesDataset
from coala_kedro.datasets.grouping import by_scan

pytestmark = pytest.mark.xdist_group("hospital_new")


def write_scan(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    hu, _, crlm = abdomen(seed)
    sitk.WriteImage(image(hu), str(path))
    return crlm


def test_two_hospitals_have_no_patient_in_common(run, catalog, project, pacs, oslo):
    assert run("oslo", pacs, "--pseudonyms").exit_code == 0
    assert run("bergen", oslo, "--cohort", "external").exit_code == 0
    assert run("molde", pacs, "--cohort", "external", "--pseudonyms").exit_code == 0
    tables = [pd.read_csv(path) for path in sorted(project.glob("data/01_raw/*/*/scans.csv"))]
    assert len(tables) == 3
    patients = [patient for table in tables for patient in set(table["patient_id"])]
    assert sorted(patients) == [f"P{n:03d}" for n in range(1, len(patients) + 1)]
    scans = catalog("molde")[0].load("external.raw_scans")
    assert [*scans] == [*tables[1]["scan_id"]]
    assert scans.keys().isdisjoint(catalog()[0].load("internal.raw_scans"))


def test_an_environment_names_the_cohort_that_is_brought(run, catalog, project, oslo):
    told = run("oslo", oslo, "--cohort", "oslo").output
    assert "wrote conf/oslo/globals.yml" in told
    assert "conf/oslo/globals.yml now says external_cohorts: [external, oslo]" in told
    assert "--namespaces oslo" in told
    named = yaml.safe_load((project / "conf/oslo/globals.yml").read_text("utf-8"))
    assert named == {"external_cohorts": ["external", "oslo"]}
    assert {key.split(".")[0] for key in yaml.safe_load(catalog()[1])} == {"oslo"}
    assert "external_cohorts" not in run("oslo", oslo, "--cohort", "oslo").output
    asked = "write external_cohorts: [external, oslo, bergen] in conf/oslo/globals.yml"
    assert asked in run("oslo", oslo, "--cohort", "bergen").output


@pytest.mark.parametrize("cohort", ["teacher", "Oslo", "../oslo"])
def test_a_cohort_of_a_name_that_cannot_be_is_not_brought(run, project, oslo, cohort):
    told = run("oslo", oslo, "--cohort", cohort)
    assert told.exit_code == 1
    assert f"the name '{cohort}'" in told.output
    assert not (project / "conf").exists()


def test_the_same_hospital_proposed_again_has_the_same_patients(run, project, pacs, oslo):
    run("oslo", pacs, "--pseudonyms")
    assert "Who is in another cohort of" not in run("bergen", oslo).output
    assert "Who is in another cohort of oslo" in run("oslo", oslo, "--cohort", "external").output
    path = project / "data/01_raw/oslo/internal/scans.csv"
    before = path.read_text()
    path.unlink()
    run("oslo", pacs, "--pseudonyms")
    assert path.read_text() == before


def test_a_hospital_of_unlabelled_scans_alone_is_proposed_whole(run, catalog, tmp_path):
    for seed in (1, 2):
        write_scan(tmp_path / "ct" / f"s{seed}.nii.gz", seed)
    told = run("oslo", tmp_path / "ct", "--role", "unlabelled")
    assert told.exit_code == 0, told.output
    assert "reader" not in told.output
    proposed, text = catalog()
    assert proposed.load("internal.raw_reader_masks") == {}
    assert "without a path, nobody did" in text
    assert [*proposed.load("internal.raw_scans")] == ["s1", "s2"]


def test_a_mask_beside_each_scan_is_one_reader_s(run, catalog, tmp_path):
    for seed in (1, 2, 3):
        crlm = write_scan(tmp_path / "in" / f"case_{seed}" / "ct.nii.gz", seed)
        if seed < 3:
            sitk.WriteImage(image(crlm), str(tmp_path / "in" / f"case_{seed}" / "tumour.nii.gz"))
    told = run("oslo", tmp_path / "in")
    assert "they are taken for one reader's" in told.output
    assert "The mask of 1 of 3 scans (case_3): no mask fits the entry" in told.output
    masks = by_scan(catalog()[0].load("internal.raw_reader_masks"))
    assert {scan: [*readers] for scan, readers in masks.items()} == {
        "case_1": ["reader_1"],
        "case_2": ["reader_1"],
    }


@pytest.mark.parametrize("readers", [["labelsTr"], ["ann", "bob"]])
def test_a_scan_is_never_taken_for_a_mask(run, catalog, tmp_path, readers):
    """nnU-Net's folders; and readers' folders beside those of the scans."""
    for seed in (1, 2):
        crlm = write_scan(tmp_path / "in" / "imagesTr" / f"c{seed}_0000.nii.gz", seed)
        for reader in readers:
            write(image(crlm), tmp_path / "in" / reader / f"c{seed}.nii.gz")
    told = run("oslo", tmp_path / "in")
    masks = catalog()[0].load("internal.raw_reader_masks")
    assert [*masks] == (["reader_1/c1", "reader_1/c2"] if len(readers) == 1 else [])
    assert ("Which folders are readers'" in told.output) == (len(readers) == 2)


def test_an_entry_that_does_not_load_is_said_and_stands_aside(run, catalog, tmp_path):
    hu, organs, _ = abdomen(0)
    for patient in ("a", "b"):
        series = write_series(image(hu), tmp_path / "in" / patient / "CT", series=patient)
        write_seg({"Segment_1": organs == 1}, series, tmp_path / "in" / patient / "SEG" / "1.dcm")
    told = run("oslo", tmp_path / "in")
    assert told.exit_code == 0, told.output
    assert "internal.raw_reader_masks does not load yet" in told.output
    proposed, text = catalog()
    assert isinstance(proposed.get("internal.raw_reader_masks"), MemoryDataset)
    (line,) = [line for line in text.splitlines() if "SEG/1.dcm" in line]
    assert line == "#     pattern: '{scan_id}/SEG/1.dcm'"


def test_series_that_fit_one_scan_twice_are_said_before_a_run_stops(run, project, tmp_path):
    hu, _, _ = abdomen(0)
    for patient in ("a", "b"):
        write_series(image(hu), tmp_path / "in" / patient / "1", series=patient)
        write_series(image(hu), tmp_path / "in" / patient / "2", Modality="MR")
    write_series(image(hu), tmp_path / "in" / "c" / "3", series="c")
    told = run("oslo", tmp_path / "in")
    assert "3 MR" in told.output or "2 MR" in told.output
    assert "internal.raw_scans does not load yet: " in told.output


@contextmanager
def nobody():
    """Be a user who may not read everything, as root may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed(tmp_path_factory):
    """A hospital with one scan in a folder that nobody may read."""
    root = tmp_path_factory.mktemp("in")
    for seed in (1, 2, 3):
        write_scan(root / f"case_{seed}" / "ct.nii.gz", seed)
    for folder in (root, *root.parents[:-2]):
        folder.chmod(0o755)
    (root / "case_2").chmod(0)
    yield root
    (root / "case_2").chmod(0o755)


def test_a_folder_that_cannot_be_read_is_said(run, closed, tmp_path, monkeypatch):
    project = Path(tempfile.mkdtemp())
    project.chmod(0o777)
    monkeypatch.setattr(hospital_command, "ROOT", project)
    with nobody():
        told = run("oslo", closed)
    assert told.exit_code == 0, told.output
    assert "1 folders or files that cannot be read" in told.output
    assert f"`find {closed} ! -readable`" in told.output
    shutil.rmtree(project)


def test_a_scan_in_a_folder_that_cannot_be_read_is_not_passed_over(closed):
    dataset = HospitalVolumesDataset(path=str(closed), pattern="{scan_id}/ct.nii.gz")
    with nobody(), pytest.raises(DatasetError, match=r"cannot be read \(Permission denied\)"):
        dataset.load()
    assert len(dataset.load()) == 3


def test_a_disk_s_own_folders_are_passed_over(closed):
    (closed / "case_2").rename(closed / "lost+found")
    with nobody():
        dataset = HospitalVolumesDataset(path=str(closed), pattern="{scan_id}/ct.nii.gz")
        assert [*dataset.load()] == ["case_1", "case_3"]
    (closed / "lost+found").rename(closed / "case_2")


def columns(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_a_sheet_of_excel_fills_the_table_and_who_is_not_in_it_is_said(
    run, project, pacs, tmp_path, suffix
):
    sheet = pd.DataFrame(
        {"Größe (mm)": ["12,5", "8"], "Patient ": [4711, 4711],
         "CT": ["01.02.2020", "02.05.2020"], "Chemo": ["nein", "ja"]}
    )  # fmt: skip
    if suffix == "csv":
        sheet.to_csv(tmp_path / "sheet.csv", sep=";", index=False, encoding="cp1252")
    else:
        sheet["CT"] = pd.to_datetime(sheet["CT"], format="%d.%m.%Y")
        sheet.to_excel(tmp_path / "sheet.xlsx", index=False)
    described = columns(
        tmp_path / "columns.yml",
        "patient: Patient\ndate: CT\ncolumns:\n"
        "  timepoint: {column: Chemo, values: {nein: pre, ja: post}}\n"
        "  largest_crlm_diameter_mm: {column: Größe (mm)}\n",
    )
    told = run(
        *("oslo", pacs, "--pseudonyms", "--clinical", tmp_path / f"sheet.{suffix}"),
        *("--clinical-columns", described),
    )
    assert told.exit_code == 0, told.output
    assert "no row for 1 of 3 scans (P002: P002_1), which keep" in told.output
    table = pd.read_csv(project / "data/01_raw/oslo/internal/scans.csv")
    assert table["timepoint"].tolist()[:2] == ["pre", "post"]
    assert table["timepoint"].isna().tolist() == [False, False, True]
    assert table["largest_crlm_diameter_mm"].tolist()[:2] == [12.5, 8.0]


def test_a_sheet_that_contradicts_itself_is_refused_and_nothing_is_written(
    run, project, pacs, tmp_path
):
    (tmp_path / "sheet.csv").write_text("id;sex\n4711;F\n4711;M\n")
    described = columns(tmp_path / "columns.yml", "{patient: id, columns: {sex: {column: sex}}}")
    refused = run(
        "oslo", pacs, "--clinical", tmp_path / "sheet.csv", "--clinical-columns", described
    )
    assert refused.exit_code == 1
    assert "'F' (row 2) and 'M' (row 3)" in refused.output
    assert "4711" not in refused.output
    assert not (project / "conf").exists()


def test_a_value_that_no_scan_table_has_is_said(run, project, pacs, tmp_path):
    (tmp_path / "sheet.csv").write_text("id,sex\n4711,female\n")
    described = columns(tmp_path / "columns.yml", "{patient: id, columns: {sex: {column: sex}}}")
    told = run("oslo", pacs, "--clinical", tmp_path / "sheet.csv", "--clinical-columns", described)
    assert "'female'" in told.output


def test_a_dangling_link_is_not_written_through(run, project, oslo, tmp_path):
    path = project / "data/01_raw/oslo/internal/scans.csv"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere.csv")
    told = run("oslo", oslo)
    assert "scans.csv is there already and was left as it is" in told.output
    assert not (tmp_path / "elsewhere.csv").exists()


@pytest.mark.slow
def test_files_are_utf_8_whatever_the_locale(run, project, tmp_path):
    """Latin-1, as on many clusters, and a label that it does not know."""
    hu, _, crlm = abdomen(0)
    for patient in ("a", "b"):
        series = write_series(image(hu), tmp_path / "in" / patient / "CT", series=patient)
        path = tmp_path / "in" / patient / "SEG" / "1.dcm"
        write_seg({"Tumor": crlm}, series, path)
        segmentation = pydicom.dcmread(path)
        segmentation.SpecificCharacterSet = "ISO_IR 192"
        segmentation.SegmentSequence[0].SegmentLabel = "腫瘍 Tumor"
        segmentation.save_as(path)
    locale = ("localedef", "-i", "en_US", "-f", "ISO-8859-1", tmp_path / "en_US.ISO-8859-1")
    subprocess.run(locale, capture_output=True, check=True)
    script = (
        "import locale, sys; from pathlib import Path; from coala_kedro import hospital_command;"
        "assert locale.getpreferredencoding() == 'ISO-8859-1';"
        "hospital_command.ROOT = Path(sys.argv.pop(1)); hospital_command.hospital()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, project, "new", "oslo", tmp_path / "in"],
        env=os.environ | {"LOCPATH": str(tmp_path), "LC_ALL": "en_US.ISO-8859-1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    entry = yaml.safe_load((project / "conf/oslo/catalog.yml").read_text("utf-8"))
    assert entry["internal.raw_reader_masks"]["segments"] == {"reader_1": "腫瘍 Tumor.*"}
