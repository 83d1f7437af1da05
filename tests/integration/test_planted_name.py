"""A name in all that a hospital brings is nowhere in what the study makes, keeps and tells."""

import getpass
import gzip
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml
from dicom_writer import save, slices_of, write_seg
from hospital import abdomen, image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("study"),
    # pydicom and highdicom do not like names in fields that are for none.
    pytest.mark.filterwarnings("ignore"),
]

WHO = "Quxfather"
PATIENTS = ("Adam", "Berta", "Caesar", "Dora", "Emil", "Frieda")
READ = {"Manufacturer", "ManufacturerModelName"}
"""What the docs say is read of a header as text."""

TEXTS = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "PatientAddress", "PatientComments", "PatientTelephoneNumbers", "OtherPatientIDs",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician", "AccessionNumber", "StudyID",
    "StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "BodyPartExamined",
    "DeviceSerialNumber", "SoftwareVersions", "ContrastBolusAgent", "AdditionalPatientHistory",
    "DerivationDescription", "CurrentPatientLocation", "MedicalRecordLocator", "Occupation",
    "EthnicGroup", "IssuerOfPatientID", "RequestedProcedureDescription", "PatientState",
)  # fmt: skip


def plant(dataset, patient):
    """The patient's name in every text of a DICOM header, private ones and sequences too."""
    for keyword in TEXTS:
        setattr(dataset, keyword, f"{WHO} {patient}"[:16])
    dataset.PatientID = f"{WHO}_{patient}"
    block = dataset.private_block(0x0009, f"{WHO} PRIVATE", create=True)
    block.add_new(0x01, "LO", f"{WHO} {patient}")
    block.add_new(0x02, "OB", WHO.encode() + b"\0")
    request = pydicom.Dataset()
    request.RequestedProcedureDescription = WHO
    dataset.RequestAttributesSequence = [request]
    for element in dataset:
        if element.VR in ("LO", "SH", "PN", "ST", "LT", "UT") and element.keyword not in READ:
            assert WHO in str(element.value) or not str(element.value)


def dicom_hospital(root):
    """Folders of patients and days, everything named after the patients; one has no lesion."""
    for seed, patient in enumerate(PATIENTS):
        hu, organs, crlm = abdomen(seed)
        study = root / f"{WHO}_{patient}" / f"2020-03-0{seed + 1} {WHO}"
        slices = slices_of(image(hu), series=patient, StudyDate=f"2020030{seed + 1}")
        for slice_ in slices:
            plant(slice_, patient)
        names = [f"{WHO}_{n:03d}.dcm" for n in range(len(slices))]
        save(slices, study / f"CT_{WHO}", names)
        label = "liver" if patient == "Emil" else "tumour 1"
        segmentation = study / f"SEG_{WHO}" / f"{WHO}.dcm"
        write_seg({f"{WHO} {patient} {label}": crlm}, slices, segmentation)
        held = pydicom.dcmread(segmentation)
        plant(held, patient)
        held.save_as(segmentation)
        write_volume(organs, study / f"organs_{WHO}" / f"{WHO}.nii.gz")


def break_dicom(root):
    """Cut a slice and an organ mask off."""
    cut = next((root / f"{WHO}_Dora").rglob(f"CT_{WHO}/{WHO}_004.dcm"))
    cut.write_bytes(cut.read_bytes()[:4000])
    spoilt = next((root / f"{WHO}_Frieda").rglob(f"organs_{WHO}/*.gz"))
    spoilt.write_bytes(spoilt.read_bytes()[:1000])


def write_volume(voxels, path):
    """A NIfTI file that tells whose it is wherever NIfTI and gzip have room for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = nibabel.Nifti1Image(voxels.T, np.diag([-2.0, -2.0, 5.0, 1.0]))
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        volume.header[field] = WHO.encode()[: volume.header[field].dtype.itemsize]
    volume.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, WHO.encode()))
    with path.open("wb") as file, gzip.GzipFile(f"{WHO}.nii", "wb", 1, file) as packed:
        packed.write(volume.to_bytes())


def volume_hospital(root):
    """Volumes in folders of patients."""
    for seed, patient in enumerate(PATIENTS[:4], start=10):
        hu, organs, crlm = abdomen(seed)
        folder = root / f"{WHO}_{patient}"
        write_volume(hu, folder / f"ct_{WHO}.nii.gz")
        write_volume(organs, folder / f"organs_{WHO}.nii.gz")
        for reader in ("reader_1", "reader_2"):
            write_volume(crlm, folder / reader / f"mask_{WHO}.nii.gz")


def break_volumes(root):
    """Cut a scan off, and write text into another."""
    cut = root / f"{WHO}_Caesar" / f"ct_{WHO}.nii.gz"
    cut.write_bytes(cut.read_bytes()[:3000])
    (root / f"{WHO}_Dora" / f"ct_{WHO}.nii.gz").write_bytes(WHO.encode() * 99)


class Project:
    """A copy of the project, and all that its commands printed."""

    def __init__(self, project):
        self.project = project
        self.told = {}

    def kedro(self, *arguments, succeeds=True, timeout_s=300, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "kedro", *map(str, arguments)],
            cwd=self.project,
            env=os.environ
            | {"PYTHONPATH": str(self.project / "src"), "KEDRO_DISABLE_TELEMETRY": "true"}
            | {"MLFLOW_TRACKING_URI": f"sqlite:///{self.project / 'mlflow.db'}"}
            | environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        told = done.stdout + done.stderr
        self.told[f"{len(self.told)} kedro {' '.join(map(str, arguments[:4]))}"] = told
        assert (done.returncode == 0) == succeeds, told[-4000:]
        return told

    def complete(self, env, cohort):
        """Fill in the scan table as a user does, who keeps a column of names and forgets a row."""
        path = self.project / "data" / "01_raw" / env / cohort / "scans.csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table["timepoint"] = "pre"
        table["patient_id"] = f"{env}_" + table["patient_id"]
        table.loc[table["acquired_on"] == "", "acquired_on"] = "2021-01-01"
        table["patient_name"] = WHO
        table["remark"] = f"Mr {WHO}"
        table.to_csv(path, index=False)

    def without_metadata(self, env):
        """The proposed entries, but for what keeps kedro-viz from showing the scan table."""
        path = self.project / "conf" / env / "catalog.yml"
        catalog = yaml.safe_load(path.read_text())
        for entry in catalog.values():
            entry.pop("metadata", None)
        path.write_text(yaml.safe_dump(catalog))

    def made(self):
        """Whatever is in the project but the user's raw files, by place."""
        places = ("data", "conf", "build", "mlruns", "mlartifacts", ".viz", "logs")
        files = [path for place in places for path in (self.project / place).rglob("*")]
        files += self.project.glob("mlflow.db*")
        raw = self.project / "data" / "01_raw"
        return [path for path in files if raw not in path.parents]


@pytest.fixture(scope="module")
def brought(project_copy, tmp_path_factory):
    """Two hospitals brought with --pseudonyms, preprocessed, shown; then broken altogether."""
    folder = tmp_path_factory.mktemp("planted")
    others = shutil.ignore_patterns("data", "mlflow.db", "mlruns", "*.log")  # of other tests
    shutil.copytree(project_copy, folder / "project", ignore=others)
    project = Project(folder / "project")
    dicom_hospital(folder / f"{WHO}_pacs")
    volume_hospital(folder / f"{WHO}_volumes")
    hospitals = (
        ("oslo", "internal", f"{WHO}_pacs", "manual", break_dicom),
        ("bergen", "external", f"{WHO}_volumes", "test", break_volumes),
    )
    for env, cohort, source, role, spoil in hospitals:
        where = ("--cohort", cohort, "--role", role, "--pseudonyms")
        project.kedro("hospital", "new", env, folder / source, *where)
        project.complete(env, cohort)
        project.without_metadata(env)
        spoil(folder / source)
        preprocessing = ("run", "--env", env, "--pipelines", "preprocessing")
        project.kedro(*preprocessing, "--namespaces", cohort)
    built = project.project / "build"
    for env, *_ in hospitals:
        project.kedro("viz", "build", "--include-hooks", "--include-previews", KEDRO_ENV=env)
        built.rename(project.project / "data" / f"build_{env}")
    for path in (folder / f"{WHO}_pacs").rglob(f"CT_{WHO}/*.dcm"):
        path.write_bytes(WHO.encode() * 99)
    preprocessing = ("run", "--env", "oslo", "--pipelines", "preprocessing")
    broken = project.kedro(*preprocessing, "--namespaces", "internal", succeeds=False)
    assert "no scan is left" in broken
    shutil.copytree(
        *(folder / f"{WHO}_volumes" / f"{WHO}_{patient}" for patient in ("Adam", "Gustav"))
    )
    (folder / f"{WHO}_volumes" / f"{WHO}_Adam" / f"ct_2{WHO}.nii.gz").write_bytes(WHO.encode())
    preprocessing = ("run", "--env", "bergen", "--pipelines", "preprocessing")
    ambiguous = project.kedro(*preprocessing, "--namespaces", "external", succeeds=False)
    assert "Two fit" in ambiguous
    return project


def contents(path):
    held = path.read_bytes()
    return held + gzip.decompress(held) if held[:2] == b"\x1f\x8b" else held


def test_it_was_preprocessed(brought):
    primary = brought.project / "data" / "03_primary"
    for cohort, n_scans in (("internal", 3), ("external", 2)):
        label_maps = list((primary / cohort / "label_maps").glob("*.nii.gz"))
        assert len(label_maps) == n_scans
        assert {path.name[:3] for path in label_maps} == {"P00"}


def test_the_name_is_nowhere(brought):
    found = []
    for path in brought.made():
        told = str(path.relative_to(brought.project)).encode()
        if path.is_symlink():
            told += os.readlink(path).encode()
        if path.is_file():
            told += contents(path)
        found += [str(path)] if WHO.lower().encode() in told.lower() else []
    assert len(brought.made()) > 100
    assert found == []


def test_the_name_was_never_told(brought):
    for command, told in brought.told.items():
        assert len(told) > 20
        lines = [line for line in told.splitlines() if WHO.lower() in line.lower()]
        assert lines == [], command


def test_what_was_broken_was_told(brought):
    told = pd.read_csv(brought.project / "data/08_reporting/external_screening.csv", dtype=str)
    assert {"unreadable"} <= set(told["code"])
    told = pd.read_csv(brought.project / "data/08_reporting/internal_screening.csv", dtype=str)
    assert {"damaged_files", "no_segment", "organ_mask_unreadable"} <= set(told["code"])


def test_mlflow_s_tags_tell_no_user_host_or_home(brought):
    with sqlite3.connect(brought.project / "mlflow.db") as database:
        tags = dict(database.execute("select key || run_uuid, value from tags").fetchall())
        users = {user for (user,) in database.execute("select user_id from runs")}
    assert len(tags) > 10
    assert users == {""}
    for private in (socket.gethostname(), str(Path.home()), str(brought.project)):
        assert [tag for tag, value in tags.items() if private in (value or "").split(" ")] == []
        assert [tag for tag, value in tags.items() if private + "/" in (value or "")] == []
    assert [value for tag, value in tags.items() if tag.startswith("mlflow.user")].count("") > 1
    assert getpass.getuser() not in tags.values()
