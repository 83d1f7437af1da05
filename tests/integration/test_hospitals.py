"""Hospitals of other formats and places: only catalog entries change."""

import gzip
import logging
import shutil
import subprocess
import sys

import boto3
import pandas as pd
import pytest
import SimpleITK as sitk
from dicom_writer import write_seg, write_series
from moto.server import ThreadedMotoServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

IDENTIFIERS = {
    "PatientName": "Quxfather^Zebulon",
    "PatientBirthDate": "19430217",
    "InstitutionName": "St. Wobbleton Infirmary",
    "AccessionNumber": "ACC7766554433",
}
DICOM_ENTRIES = """
# An export of the PACS.
external.raw_scans:
  type: coala_kedro.datasets.HospitalVolumesDataset
  path: {pacs}
  pattern: "{{scan_id}}/*/CT_*"
  format: dicom_series
  metadata:
    kedro-viz: {{layer: raw}}

# A segmentation a scan, with the lesions of all readers.
external.raw_reader_masks:
  type: coala_kedro.datasets.HospitalVolumesDataset
  path: {pacs}
  pattern: "{{scan_id}}/*/SEG_*/*.dcm"
  format: dicom_seg
  segments: {{reader_1: "reader_1 .*", reader_2: "reader_2 .*", reader_3: "reader_3 .*"}}
  metadata:
    kedro-viz: {{layer: raw}}
"""
S3_ENTRIES = """
# A bucket.
external.scan_table:
  type: coala_kedro.datasets.ScanTableDataset
  filepath: s3://hospital/study/scans.csv
  credentials: bucket

# A bucket.
external.raw_scans:
  type: coala_kedro.datasets.HospitalVolumesDataset
  path: s3://hospital/study/scans
  credentials: bucket

# A bucket.
external.raw_reader_masks:
  type: coala_kedro.datasets.HospitalVolumesDataset
  path: s3://hospital/study/readers
  pattern: "{reader}/{scan_id}.nii.gz"
  credentials: bucket

# A bucket.
external.organ_segmenter:
  type: coala_kedro.organs.OrganSegmenterDataset
  segmenter: existing_masks
  path: s3://hospital/study/organs
  credentials: bucket
"""


def volumes_in(folder):
    return {path.name.removesuffix(".nii.gz"): path for path in folder.glob("*.nii.gz")}


def write_pacs(raw, pacs):
    """The external cohort as DICOM, in folders that bear the patients' names."""
    masks = sorted((raw / "readers").glob("reader_*"))
    for scan_id, path in volumes_in(raw / "scans").items():
        study = pacs / scan_id / IDENTIFIERS["PatientName"]
        scan = sitk.ReadImage(str(path))
        series = write_series(scan, study / "CT_1", series=scan_id, **IDENTIFIERS)
        outlined = {
            f"{reader.name} lesions": sitk.GetArrayFromImage(
                sitk.ReadImage(str(reader / f"{scan_id}.nii.gz"))
            )
            for reader in masks
        }
        write_seg(outlined, series, study / "SEG_1" / "1.dcm")


@pytest.fixture(scope="module")
def from_pacs(miniature, tmp_path_factory):
    """The miniature, its external cohort brought as DICOM; what it logged."""
    folder = tmp_path_factory.mktemp("from_pacs")
    write_pacs(miniature.data / "01_raw" / "external", folder / "pacs")
    study = miniature.copy(folder / "data", *(part.name for part in miniature.data.iterdir()))
    for left in ("scans", "readers"):
        shutil.rmtree(study.data / "01_raw" / "external" / left)
    study = study.with_entries("pacs", DICOM_ENTRIES.format(pacs=folder / "pacs"))
    log = study.run("--pipelines", "study", log=folder / "pacs.log")
    return study, log


def test_the_summary_is_the_same_whatever_the_format(miniature, from_pacs):
    study, log = from_pacs
    assert "external/inspected: 3 made, 0 stood" in log
    assert "07_model_output/student_external: 3 made" in log.replace("\n", "")
    for name in ("scan_metrics", "summary", "external_reader_agreement"):
        expected, found = (
            pd.read_csv(one.data / "08_reporting" / f"{name}.csv") for one in (miniature, study)
        )
        # DICOM headers tell the scanner too.
        assert set(found) - set(expected) <= {"scanner", "slice_thickness_mm"}
        pd.testing.assert_frame_equal(found[list(expected)], expected)
    table = pd.read_csv(study.data / "02_intermediate" / "external" / "usable_scans.csv")
    assert set(table["scanner"]) == {"Maker Model 1"}


def test_what_is_in_a_header_is_nowhere_else(from_pacs):
    study, log = from_pacs
    built = subprocess.run(
        [sys.executable, "-m", "kedro", "viz", "build", "--include-hooks", "--include-previews"],
        cwd=study.project,
        env={"KEDRO_ENV": study.env, "PATH": "/usr/bin:/bin", "HOME": str(study.project)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    stores = (study.project / name for name in ("build", "mlruns", "mlartifacts"))
    files = [path for place in (study.data, *stores) for path in place.rglob("*")]
    files += study.project.glob("mlflow.db*")
    read = {"log": log.encode(), "viz": (built.stdout + built.stderr).encode()}
    read |= {str(path): content(path) for path in files if path.is_file()}
    assert len(read) > 200
    for identifier in IDENTIFIERS.values():
        for part in identifier.split("^"):
            assert [name for name, held in read.items() if part.encode() in held] == []
            assert [name for name in read if part in name] == []


def content(path):
    held = path.read_bytes()
    return held + gzip.decompress(held) if held[:2] == b"\x1f\x8b" else held


@pytest.fixture
def bucket():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="key",
        aws_secret_access_key="hunter2secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="hospital")
    yield client
    server.stop()


def test_preprocessing_of_a_cohort_in_a_bucket(miniature, bucket, tmp_path):
    raw = miniature.data / "01_raw" / "external"
    for path in raw.rglob("*"):
        if path.is_file() and not path.name.startswith(".") and ".made" not in path.parts:
            bucket.upload_file(str(path), "hospital", f"study/{path.relative_to(raw)}")
    study = miniature.copy(tmp_path / "data", "01_raw")
    shutil.rmtree(study.data / "01_raw" / "external")
    credentials = f"""
bucket:
  key: key
  secret: hunter2secret
  client_kwargs:
    endpoint_url: {bucket.meta.endpoint_url}
    region_name: us-east-1
"""
    study = study.with_entries("bucket", S3_ENTRIES, credentials)
    log = study.run("--pipelines", "preprocessing", log=tmp_path / "bucket.log")
    assert "hunter2secret" not in log
    for name in ("consensus_masks", "organ_masks", "label_maps"):
        expected, found = (
            volumes_in(one.data / "03_primary" / "external" / name) for one in (miniature, study)
        )
        assert expected.keys() == found.keys()
        assert len(found) == 3
        for scan_id, path in expected.items():
            assert sitk.Hash(sitk.ReadImage(str(path))) == sitk.Hash(
                sitk.ReadImage(str(found[scan_id]))
            )
    again = study.run("--pipelines", "preprocessing", log=tmp_path / "again.log")
    assert "external/inspected: 0 made, 3 stood" in again
