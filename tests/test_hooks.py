"""What is looked for before the first scan is read."""

import logging

import pytest
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset

from coala_kedro.hooks import ReadyHooks
from coala_kedro.organs import OrganSegmenterDataset, OrganSegmenterError
from coala_kedro.pipelines.preprocessing.checks import Screening


@pytest.fixture
def run(project, tmp_path, monkeypatch):
    """A run of preprocessing without weights; `made` stands."""
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path / "absent"))

    def before(segmenter="totalsegmentator", made=(), severity=None):
        options = {} if segmenter == "totalsegmentator" else {"path": str(tmp_path)}
        entries = {
            f"{cohort}.organ_segmenter": OrganSegmenterDataset(segmenter=segmenter, **options)
            for cohort in ("internal", "external")
        }
        names = [f"{cohort}.{name}" for cohort in ("internal", "external") for name in made]
        entries |= {name: MemoryDataset({}) for name in names}
        # As Kedro hands it to hooks: a model of it already.
        screening = Screening(severity={"contrast_phase": severity} if severity else {})
        entries["params:screening"] = MemoryDataset(screening)
        ReadyHooks().before_pipeline_run(pipelines["preprocessing"], DataCatalog(entries))

    return before


def test_missing_weights_are_told_before_the_first_scan_is_read(run):
    with pytest.raises(OrganSegmenterError, match=r"weights are not in .*absent.*Dataset291"):
        run()


def test_weights_that_only_the_contrast_phase_needs_too(run):
    with pytest.raises(OrganSegmenterError, match="Dataset29"):
        run(made=["organ_masks"])
    run(made=["organ_masks"], severity="ignore")


def test_existing_masks_need_no_weights(run):
    run("existing_masks")


def test_a_study_whose_masks_stand_needs_no_weights(run, caplog):
    caplog.set_level(logging.WARNING)
    run(made=["organ_masks", "anatomy"])
    assert "new or changed cannot be segmented" in caplog.text


@pytest.mark.xdist_group("tracking")
def test_mlflows_statistics_are_off_once_the_project_is_loaded(project):
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()
