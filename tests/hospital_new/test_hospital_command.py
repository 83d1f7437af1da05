import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from dicom_writer import write_seg, write_series
from hospital import abdomen, image, write

from coala_kedro import hospital_command
from coala_kedro.cohort import CohortError
from coala_kedro.datasets import HospitalVolumesDataset, ScanTableDataset
from coala_kedro.disk import DiskFullError
from coala_kedro.scan_table_schema import check_scan_table

pytestmark = pytest.mark.xdist_group("hospital_new")


def test_a_hospital_is_proposed_and_its_entries_find_its_scans(run, project, oslo):
    told = run("oslo", oslo, "--cohort", "external", "--role", "manual")
    assert told.exit_code == 0, told.output
    for line in (
        "3 CT volumes",
        "6 masks",
        "wrote conf/oslo/catalog.yml",
        "- timepoint of 3 of 3 scans: write 'pre' or 'post'",
        "kedro run --env oslo --pipelines preprocessing --namespaces external",
    ):
        assert line in told.output
    catalog = yaml.safe_load((project / "conf" / "oslo" / "catalog.yml").read_text())
    entries = {name: entry for name, entry in catalog.items() if "raw" in name}
    found = {}
    for name, entry in entries.items():
        assert entry.pop("type") == "coala_kedro.datasets.HospitalVolumesDataset"
        found[name] = [*HospitalVolumesDataset(**entry).load()]
    assert found["external.raw_scans"] == ["a_post", "a_pre", "b_pre"]
    assert found["external.raw_reader_masks"][0] == "reader_1/a_post"
    table = ScanTableDataset(filepath=str(project / "data/01_raw/oslo/external/scans.csv")).load()
    with pytest.raises(CohortError, match="scan 'a_post', column 'timepoint'"):
        check_scan_table(table, "external")
    check_scan_table(table.assign(timepoint="pre", acquired_on="2020-01-01"), "external")


def test_scan_ids_are_made_up_where_paths_tell_who_somebody_is(run, project, pacs, monkeypatch):
    told = run("oslo", pacs, "--pseudonyms")
    assert told.exit_code == 0, told.output
    kept = "data/01_raw/oslo/internal/pseudonyms.csv"
    assert f"{kept} keeps whose they are: guard it" in told.output
    assert "CT of" not in told.output
    monkeypatch.chdir(project)
    catalog = yaml.safe_load((project / "conf" / "oslo" / "catalog.yml").read_text())
    found = {}
    for name in ("raw_scans", "raw_reader_masks"):
        entry = catalog[f"internal.{name}"]
        del entry["type"]
        found[name] = [*HospitalVolumesDataset(**entry).load()]
    assert found["raw_scans"] == ["P001_1", "P001_2", "P002_1"]
    assert found["raw_reader_masks"][:3] == [f"SEG_ann/{scan}" for scan in found["raw_scans"]]
    table = pd.read_csv(project / "data/01_raw/oslo/internal/scans.csv")
    assert [*table["scan_id"]] == found["raw_scans"]
    assert [*table["acquired_on"]] == ["2020-02-01", "2020-05-02", "2020-02-01"]
    assert pd.read_csv(kept)["found"][1] == "4711_2020-05-02"


WHO = "Quxfather"


def named_dicom(root):
    """One patient, whose name is in every folder, label and header."""
    hu, organs, crlm = abdomen(1)
    for day in ("20200201", "20200502"):
        study = root / f"{WHO}_Hans" / f"{day}_{WHO}"
        told = {"PatientID": WHO, "StudyDate": day, "SeriesDescription": WHO, "Modality": "CT"}
        series = write_series(image(hu), study / f"CT_{WHO}", series=day, **told)
        segments = {f"{WHO} tumour 1": crlm, f"{WHO} liver": organs == 5}
        write_seg(segments, series, study / f"SEG_{WHO}" / f"{WHO}.dcm")
    write_series(image(hu), root / f"{WHO}_Hans" / WHO / "PET", series="x", Modality=WHO.upper())


def named_volumes(root):
    """Patients in folders of their names, their readers in folders of known words."""
    hu, organs, crlm = abdomen(1)
    for patient in (f"{WHO}_Hans", f"{WHO}_Grete"):
        for name, voxels in ((f"ct_{WHO}", hu), (f"organs_{WHO}", organs)):
            write(image(voxels), root / patient / f"{name}.nii.gz")
        for reader in ("reader_1", "reader_2"):
            write(image(crlm), root / patient / reader / f"mask_{WHO}.nii.gz")


def numbered(root):
    """Patients by numbers of several parts, and a name that all of them have at the end."""
    hu, _, crlm = abdomen(1)
    for patient in (f"p_001_{WHO}", f"p_002_{WHO}"):
        write(image(hu), root / patient / "ct.nii.gz")
        for reader in ("reader_1", "reader_2"):
            write(image(crlm), root / patient / reader / "mask.nii.gz")


@pytest.mark.parametrize("write_hospital", [named_dicom, named_volumes, numbered])
def test_with_pseudonyms_no_name_is_told_or_written_but_to_their_file(
    run, project, tmp_path, monkeypatch, write_hospital
):
    write_hospital(tmp_path / WHO)
    told = run("oslo", tmp_path / WHO, "--pseudonyms")
    assert told.exit_code == 0, told.output
    assert WHO.lower() not in told.output.lower()
    kept = project / "data/01_raw/oslo/internal/pseudonyms.csv"
    written = [path for path in project.rglob("*") if path.is_file()]
    assert len(written) == 3
    assert {path for path in written if WHO.lower() in path.read_text().lower()} <= {kept}
    assert kept.stat().st_mode & 0o777 == 0o600
    monkeypatch.chdir(project)
    catalog = yaml.safe_load((project / "conf" / "oslo" / "catalog.yml").read_text())
    for name in ("raw_scans", "raw_reader_masks"):
        entry = catalog[f"internal.{name}"]
        del entry["type"]
        found = HospitalVolumesDataset(**entry).load()
        assert {key.split("/")[-1][:3] for key in found} <= {"P00"}
        assert WHO not in repr(found)
    sheet = pd.read_csv(project / "data/01_raw/oslo/internal/scans.csv")
    assert len(sheet) == 2


def test_what_goes_wrong_shows_no_name_with_pseudonyms(run, project, tmp_path):
    for name in (f"{WHO}/a/{WHO}.txt", f"{WHO}.nii.gz", f"{WHO}/{WHO}.dcm"):
        (tmp_path / "pacs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pacs" / name).write_text(WHO)
    refused = run("oslo", tmp_path / "pacs", "--pseudonyms")
    assert refused.exit_code == 1
    hu, _, _ = abdomen(1)
    write(image(hu), tmp_path / "pacs" / WHO / "one.nii.gz")
    write(image(hu), tmp_path / "pacs" / f"{WHO}_2.nii.gz")
    refused_too = run("oslo", tmp_path / "pacs", "--pseudonyms")
    assert refused_too.exit_code == 1
    assert WHO not in refused.output + refused_too.output


def test_paths_that_tell_the_scans_are_their_ids_until_pseudonyms_are_asked_for(run, project, pacs):
    told = run("oslo", pacs)
    assert "Whether scan ids such as 4711_2020-02-01 are pseudonyms" in told.output
    assert not (project / "data/01_raw/oslo/internal/pseudonyms.csv").exists()


def test_what_is_there_is_never_written_over(run, project, oslo):
    run("oslo", oslo)
    path = project / "data" / "01_raw" / "oslo" / "internal" / "scans.csv"
    path.write_text("mine")
    told = run("oslo", oslo)
    assert "scans.csv is there already and was left as it is" in told.output
    assert path.read_text() == "mine"


def test_what_could_not_be_told_is_said(run, project, tmp_path):
    hu, _, _ = abdomen(0)
    (tmp_path / "ct").mkdir()
    sitk.WriteImage(image(hu), str(tmp_path / "ct" / "s1.nii.gz"))
    told = run("oslo", tmp_path / "ct")
    assert "Where the readers' masks are: none was found" in told.output
    assert "TotalSegmentator will outline them" in told.output
    assert "Which scans are one patient's" in told.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("Oslo", "."), "'Oslo' must be small letters"),
        (("oslo", "/nowhere"), "does not exist"),
        (("oslo", ".", "--clinical", __file__), "--clinical-columns go together"),
    ],
)
def test_what_cannot_be_is_told(run, project, arguments, told):
    refused = run(*arguments)
    assert refused.exit_code != 0
    assert told in refused.output


def test_a_folder_without_ct_is_told(run, project, tmp_path):
    (tmp_path / "empty").mkdir()
    refused = run("oslo", tmp_path / "empty")
    assert refused.exit_code == 1
    assert "There is no CT below" in refused.output


def test_a_sheet_that_does_not_fit_is_told(run, project, oslo, tmp_path):
    pd.DataFrame({"id": ["a"]}).to_csv(tmp_path / "sheet.csv", index=False)
    (tmp_path / "columns.yml").write_text("patient: id\ncolumns: {sex: {column: gender}}")
    sheet = ("--clinical", tmp_path / "sheet.csv", "--clinical-columns", tmp_path / "columns.yml")
    refused = run("oslo", oslo, *sheet)
    assert refused.exit_code == 1
    assert "no column gender" in refused.output
    assert not (project / "conf").exists()


@pytest.mark.parametrize("pseudonyms", [True, False])
def test_a_cell_that_is_not_understood_is_not_shown_with_pseudonyms(
    run, project, oslo, tmp_path, pseudonyms
):
    pd.DataFrame({"id": ["a_pre"], "name": [WHO]}).to_csv(tmp_path / "sheet.csv", index=False)
    described = "patient: id\ncolumns: {sex: {column: name, values: {f: F}}}"
    (tmp_path / "columns.yml").write_text(described, encoding="utf-8")
    sheet = ("--clinical", tmp_path / "sheet.csv", "--clinical-columns", tmp_path / "columns.yml")
    refused = run("oslo", oslo, *sheet, *(["--pseudonyms"] if pseudonyms else []))
    assert refused.exit_code == 1
    assert "column 'name' holds" in refused.output
    assert (WHO in refused.output) is not pseudonyms


def test_a_table_that_a_full_disk_cuts_is_not_there(disk_of):
    """What is there is left as it is: half a scan table would be for ever."""
    place = disk_of(64)
    path, table = place / "data" / "scans.csv", "scan_id,patient_id\n" * 10_000
    with pytest.raises(DiskFullError, match=f"The disk of {path.parent} is full"):
        hospital_command._write_new(path, table)
    assert [*path.parent.iterdir()] == []
    disk_of(1024)
    hospital_command._write_new(path, table)
    assert path.read_text(encoding="utf-8") == table
    with pytest.raises(FileExistsError):
        hospital_command._write_new(path, "")
