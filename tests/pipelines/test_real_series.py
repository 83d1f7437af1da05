"""A real DICOM series and its organ file, brought as a hospital of one scan."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hospital import COLUMNS, LIVER, Hospital

from coala_kedro.imaging.geometry import grid_differences

REAL = Path(__file__).parents[3] / "shared" / "real_ct"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real series lies beside the project")
def test_a_real_series_is_accepted_with_its_organ_file(tmp_path):
    hospital = Hospital(tmp_path)
    hospital.table = pd.DataFrame(
        [("real", "P1", "pre", "unlabelled", "2022-12-08")], columns=COLUMNS
    )
    (tmp_path / "pacs").mkdir()
    (tmp_path / "pacs" / "real").symlink_to(REAL / "dicom_series")
    (tmp_path / "organs").mkdir()
    (tmp_path / "organs" / "real.nii.gz").symlink_to(REAL / "dicom_series_organs.nii.gz")
    (tmp_path / "readers" / "ann").mkdir(parents=True)
    (tmp_path / "readers" / "ann" / "nobody.nii.gz").touch()
    hospital.scan_entry = {
        "path": str(tmp_path / "pacs"), "pattern": "{scan_id}", "format": "dicom_series"
    }  # fmt: skip
    accepted, findings = hospital.screen()
    assert accepted["scanner"].tolist() == ["SIEMENS Biograph40_mCT 4R"]
    # Twenty slices of a whole abdomen: it says so, for the liver too, and stays.
    assert set(findings["code"]) <= {"short", "no_row", "liver_cut"}
    scans, _ = hospital.imported(accepted)
    theirs = sitk.ReadImage(
        sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(REAL / "dicom_series"))
    )
    assert grid_differences(scans["real"], theirs) == []
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(scans["real"]), sitk.GetArrayFromImage(theirs)
    )
    organs = hospital.segmenter.segment("real", scans["real"])
    brought = sitk.DICOMOrient(sitk.ReadImage(str(REAL / "dicom_series_organs.nii.gz")), "LPS")
    own = sitk.GetArrayFromImage(organs)
    np.testing.assert_array_equal(own == LIVER, sitk.GetArrayFromImage(brought) == LIVER)
    assert (own == LIVER).sum() > 1000
