"""The public collection in small: downloaded, proposed, preprocessed as its page says."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from dicom_writer import uid, write_seg, write_series
from hospital import LIVER, abdomen, image

from coala_kedro.anatomy import CRLM

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

PATIENTS = [f"CRLM-CT-{number}" for number in (1001, 1002, 1003)]
# Without TotalSegmentator's weights, the organs are the one that the collection outlines.
LIVER_ONLY = """  segmenter: existing_masks
  path: ${_raw}/tcia_crlm/colorectal_liver_metastases
  pattern: "{scan_id}/*/SEG_*/*.dcm"
  format: dicom_seg
  segments: {liver: Liver}
"""


def outlines(number):
    """Segments as in the collection, and the lesions together."""
    _, organs, crlm = abdomen(number)
    tumours = {"Tumor_1": crlm}
    if number:
        tumours["Tumor_2"] = np.roll(crlm, 12, axis=1)
    vessel = np.roll(crlm, 6, axis=2)
    liver = organs == LIVER
    segments = {"Liver": liver, "Liver Remnant": liver, "Hepatic": vessel, "Portal": vessel}
    return segments | tumours, sum(tumours.values())


def write_collection(root):
    """Three patients in the folders that idc-index makes; the last one's SEG is cropped in z."""
    for number, patient in enumerate(PATIENTS):
        study = root / "colorectal_liver_metastases" / patient / uid(patient, "study")
        hu, _, _ = abdomen(number)
        series = write_series(
            image(hu, origin_mm=(-101.25, -80.5, 12.5)),
            study / f"CT_{uid(patient, 'ct')}",
            series=patient,
            PatientID=patient,
            PatientAge="055Y",
            PatientSex="M",
            StudyDate="19920606",
        )
        segments, _ = outlines(number)
        kept = slice(1, 12) if number == 2 else slice(None)
        write_seg(
            {label: mask[kept] for label, mask in segments.items()},
            series[kept],
            study / f"SEG_{uid(patient, 'seg')}" / "3f2a.dcm",
        )
    pd.DataFrame(
        {
            "Patient-ID": PATIENTS,
            "De-identify Scout Name": "",
            "chemo_before_liver_resection": [0, 1, 1],
            "max_tumor_size": [3.1, -999, 2.0],
        }
    ).to_excel(root / "clinical.xlsx", index=False)


@pytest.fixture(scope="module")
def brought(miniature, tmp_path_factory):
    """The generator's and the run's words, and the data."""
    folder = tmp_path_factory.mktemp("tcia")
    study = miniature.copy(folder / "data", "01_raw", "02_intermediate")
    raw = study.project / "data" / "01_raw" / "tcia_crlm"
    write_collection(raw)
    conf = study.project / "conf" / "tcia_crlm"
    catalog = (conf / "catalog.yml").read_text()
    asked = "  segmenter: totalsegmentator\n  device: auto\n"
    assert asked in catalog
    (conf / "catalog.yml").write_text(catalog.replace(asked, LIVER_ONLY))
    told = subprocess.run(
        [
            *(sys.executable, "-m", "kedro", "hospital", "new", "tcia_crlm", str(raw)),
            *("--cohort", "external", "--clinical", str(raw / "clinical.xlsx")),
            *("--clinical-columns", str(conf / "clinical.yml")),
        ],
        cwd=study.project,
        env=os.environ | {"PYTHONPATH": str(study.project / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    os.rename(raw, study.data / "01_raw" / "tcia_crlm")
    log = study.in_environment("tcia_crlm").run(
        *("--pipelines", "preprocessing", "--namespaces", "external"), log=folder / "tcia.log"
    )
    return study, told.stdout, log


def test_the_scan_table_comes_from_headers_and_sheet(brought):
    study, told, _ = brought
    assert "conf/tcia_crlm/catalog.yml is there already and was left as it is" in told
    assert "segments: Hepatic (3), Liver (3), Liver Remnant (3), Portal (3), Tumor_1 (3)" in told
    table = pd.read_csv(study.data / "01_raw" / "tcia_crlm" / "external" / "scans.csv")
    assert table["scan_id"].tolist() == PATIENTS
    assert table["patient_id"].tolist() == ["P001", "P002", "P003"]
    assert table["timepoint"].tolist() == ["pre", "post", "post"]
    assert table["age_years"].tolist() == [55, 55, 55]
    assert table["n_crlm"].tolist() == [1, 2, 2]


def test_every_scan_is_accepted_and_its_label_map_is_the_segments(brought):
    study, _, log = brought
    assert "external: 3 of 3 scans accepted" in log.replace("\n", " ")
    for number, patient in enumerate(PATIENTS):
        path = study.data / "03_primary" / "external" / "label_maps" / f"{patient}.nii.gz"
        label_map = sitk.ReadImage(str(path))
        _, lesions = outlines(number)
        voxels = sitk.GetArrayFromImage(label_map)
        np.testing.assert_array_equal(voxels == CRLM, lesions > 0)
        assert (voxels > 0).sum() > (lesions > 0).sum()
        assert label_map.GetOrigin() == pytest.approx((-101.25, -80.5, 12.5), abs=1e-3)
