"""Teacher and student are two thresholds on HU, by catalog entries alone: nothing is trained."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

ENTRIES = """
# A threshold on HU.
teacher.model:
  type: threshold_model.ThresholdModelDataset
  low_hu: 0
  high_hu: 48
  metadata:
    kedro-viz: {layer: teacher}

# Another one.
student.model:
  type: threshold_model.ThresholdModelDataset
  low_hu: 10
  high_hu: 44
  metadata:
    kedro-viz: {layer: student}
"""


@pytest.fixture(scope="module")
def study(empty_study):
    """A hospital of phantoms, preprocessed, pseudo-labelled and evaluated in one run."""
    study = empty_study("thresholds")
    shutil.copy(Path(__file__).parents[1] / "threshold_model.py", study.project / "src")
    study = study.with_entries("thresholds", ENTRIES)
    pipelines = "phantom,preprocessing,pseudolabel,evaluation"
    study.run("--pipelines", pipelines, log=study.project / "run.log")
    return study


@pytest.fixture
def frame(study):
    return lambda name: pd.read_csv(study.data / "08_reporting" / f"{name}.csv")


def test_nothing_is_trained(study):
    assert not (study.data / "06_models").exists()


def test_its_pseudo_labels_are_reviewed_without_an_agreement_of_folds(study, frame):
    review = frame("pseudo_label_review")
    assert len(review) == 2
    assert review["fold_agreement"].isna().all()
    assert review["accepted"].all()
    assert (review["crlm_ml"] > 0).all()
    folder = study.data / "05_model_input" / "pseudo_label_maps"
    assert {path.name for path in folder.glob("*.nii.gz")} == {
        f"{scan_id}.nii.gz" for scan_id in review["scan_id"]
    }


def test_every_test_scan_is_scored_for_both(frame):
    scans = frame("scan_metrics")
    counts = scans.groupby(["model", "cohort"]).size().to_dict()
    assert counts == {
        ("teacher", "internal"): 2,
        ("teacher", "external"): 3,
        ("student", "internal"): 2,
        ("student", "external"): 3,
    }
    assert scans["dice"].between(0, 1, inclusive="neither").all()
    assert (frame("candidate_metrics")["confidence"] == 1).all()
    assert {"teacher", "student"} == {*frame("summary")["model"]}


def test_what_is_scored_is_what_it_predicted(study, frame):
    row = frame("scan_metrics").query("model == 'student' and cohort == 'external'").iloc[0]
    folder = study.data / "07_model_output" / "student_external"
    votes = sitk.ReadImage(str(folder / "fold_votes" / f"{row['scan_id']}.nii.gz"))
    scans = study.data / "02_intermediate" / "external" / "scans"
    scan = sitk.ReadImage(str(scans / f"{row['scan_id']}.nii.gz"))
    between = sitk.GetArrayFromImage(sitk.BinaryThreshold(scan, 10, 44))
    assert (sitk.GetArrayFromImage(votes) == between).all()
    assert row["predicted_voxels"] == between.sum()


def test_the_report_is_written_with_its_pictures(study):
    for name in ("report.html", "figure_3.png", "worst_scans.png", "table_2.csv"):
        assert (study.data / "08_reporting" / name).stat().st_size > 1000
