"""The miniature study: what it leaves, and what a second run does."""

import json
import re
from functools import partial

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from browser import check_in_browser, needs_chromium
from mlflow import MlflowClient
from reading import Page, Tables, is_rounding_of, is_value_of

from coala_kedro.anatomy import CRLM
from coala_kedro.datasets import MadeFolderDataset
from coala_kedro.pipelines.model_training import nodes as training

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

MODELS, COHORTS, STAGES = ("teacher", "student"), ("internal", "external"), ("lowres", "cascade")
FOLDS = range(5)
TEST_SCANS = {
    "internal": {"INT007_pre", "INT007_post"},
    "external": {"EXT001_pre", "EXT001_post", "EXT002_pre"},
}
MANUAL = {f"INT{n:03d}_pre" for n in range(1, 6)} | {"INT001_post"}
UNLABELLED = {"INT006_pre", "INT006_post"}
CASES = {"teacher": MANUAL, "student": MANUAL | UNLABELLED}


def reported(study, name):
    return pd.read_csv(study.data / "08_reporting" / f"{name}.csv")


def crlm_voxels(path):
    return int((sitk.GetArrayFromImage(sitk.ReadImage(str(path))) == CRLM).sum())


def test_the_summary_has_both_models_on_both_cohorts(miniature):
    summary = reported(miniature, "summary")
    assert [*summary.columns] == [
        *("model", "cohort", "subset", "metric", "value"),
        *("ci_low", "ci_high", "n_scans", "n_patients", "note"),
    ]
    for model in MODELS:
        for cohort, n_patients in (("internal", 1), ("external", 2)):
            rows = summary[(summary["model"] == model) & (summary["cohort"] == cohort)]
            assert {"all", "pre", "post"} == set(rows["subset"])
            whole = rows[rows["subset"] == "all"].set_index("metric")
            assert {"dice_mean", "dice_pooled", "icc_agreement", "volume_bias_ml"} <= {*whole.index}
            assert whole.loc["volume_bias_ml", "n_scans"] == len(TEST_SCANS[cohort])
            assert whole.loc["volume_bias_ml", "n_patients"] == n_patients


def test_scan_metrics_have_a_row_per_model_and_test_scan(miniature):
    rows = reported(miniature, "scan_metrics").set_index(["model", "cohort", "scan_id"])
    expected = [
        (model, cohort, scan)
        for model in MODELS
        for cohort in COHORTS
        for scan in TEST_SCANS[cohort]
    ]
    assert sorted(rows.index) == sorted(expected)
    for model, cohort, scan in expected:
        folder = miniature.data / "07_model_output" / f"{model}_{cohort}" / "label_maps"
        predicted = folder / f"{scan}.nii.gz"
        consensus = miniature.data / "03_primary" / cohort / "label_maps" / f"{scan}.nii.gz"
        row = rows.loc[(model, cohort, scan)]
        assert row["predicted_voxels"] == crlm_voxels(predicted)
        assert row["reference_voxels"] == crlm_voxels(consensus) > 0


def test_lesion_and_organ_metrics_are_of_the_same_scans(miniature):
    scans, lesions, organs = (
        reported(miniature, f"{what}_metrics").set_index(["model", "cohort", "scan_id"])
        for what in ("scan", "lesion", "organ")
    )
    assert set(lesions.index) <= set(scans.index) == set(organs.index)
    in_consensus = lesions[lesions["status"] != "false_positive"].groupby(level=[0, 1, 2]).size()
    expected = scans["n_lesions"][scans["n_lesions"] > 0].sort_index()
    pd.testing.assert_series_equal(in_consensus, expected, check_names=False, check_dtype=False)
    crlm = organs[organs["structure"] == "crlm"]
    pd.testing.assert_series_equal(crlm["dice"], scans["dice"])
    assert organs.groupby(level=[0, 1, 2]).size().eq(13).all()
    summary = reported(miniature, "lesion_summary")
    assert {"sensitivity", "precision", "false_positives_per_scan"} <= {*summary["metric"]}


@pytest.mark.parametrize(
    "name", ["agreement", "free_response", "tests", "subgroups", "worst_scans", "ttv_classes"]
)
def test_frames_tell_of_every_cohort(miniature, name):
    frame = reported(miniature, name)
    assert {*frame["cohort"]} == {*COHORTS}
    if "note" in frame and "value" in frame:
        assert frame.loc[frame["value"].isna(), "note"].notna().all()


def test_models_stand_among_the_readers(miniature):
    rows = reported(miniature, "reader_metrics")
    against = rows[rows["reference_kind"] == "consensus of the others"]
    raters = {"reader_1", "reader_2", "reader_3", *MODELS}
    assert {*against["rater"]} == raters
    assert against.groupby("rater")["scan_id"].nunique().eq(5).all()
    summary = reported(miniature, "reader_summary")
    assert raters | {"readers"} == {*summary["rater"]}


def test_the_paper_stands_beside_the_run(miniature):
    rows = reported(miniature, "paper_comparison").set_index(["metric", "subset", "cohort"])
    summary = reported(miniature, "summary").set_index(["model", "cohort", "subset", "metric"])
    dice = rows.loc[("dice_mean", "all", "external")].set_index("model")
    assert (dice["paper"] == 0.83).all()
    for model in MODELS:
        expected = summary.loc[(model, "external", "all", "dice_mean"), "value"]
        assert dice.loc[model, "run"] == pytest.approx(expected)


def test_every_figure_of_the_report_is_that_of_its_csv(miniature):
    folder = miniature.data / "08_reporting"
    page, tables = Page((folder / "report.html").read_text()), Tables(folder)
    assert len(page.figures) > 2000
    for value, place, shown in page.figures:
        assert is_value_of(value, tables.text(place)), place
        assert is_rounding_of(shown, value), place
    words = " ".join([*page.missing, *(text for _, text in page.words)])
    assert not re.search(r"\b[Nn]a[Nn]\b|\bNone\b|not defined", words)


@needs_chromium
def test_the_report_opens_and_prints(miniature):
    path = miniature.data / "08_reporting" / "report.html"
    check_in_browser(path, Page(path.read_text()).titles)


@pytest.mark.parametrize("name", ["figure_3", "worst_scans", "figures/dice", "figures/readers"])
def test_figures_show_something(miniature, name):
    picture = matplotlib.image.imread(miniature.data / "08_reporting" / f"{name}.png")
    assert min(picture.shape[:2]) > 300
    assert len(np.unique(picture[..., 0])) > 10


@pytest.mark.parametrize("model", MODELS)
def test_every_case_is_validated_once_and_predicted_for_the_cascade(miniature, model):
    folds = miniature.folds(model)
    validated = [scan for fold in folds for scan in fold.validation]
    assert sorted(validated) == sorted(CASES[model])
    for fold in folds:
        assert sorted(fold.train + fold.validation) == sorted(CASES[model])
        assert not {scan[:6] for scan in fold.train} & {scan[:6] for scan in fold.validation}
    handed_on = miniature.fold_folder(model, "lowres", 0).parent / "predicted_next_stage"
    files = (handed_on / "3d_cascade_fullres").glob("*.b2nd")
    assert sorted(file.stem for file in files) == sorted(CASES[model])
    frame = reported(miniature, f"{model}_cross_validation")
    assert {*zip(frame["stage"], frame["fold"], frame["scan_id"], strict=True)} == {
        (stage, k, scan) for stage in STAGES for k in FOLDS for scan in folds[k].validation
    }


@pytest.mark.parametrize("model", MODELS)
def test_models_are_stock_nnunet_folders(miniature, checkpoint, model):
    root = miniature.data / "06_models" / model / "Dataset001_CRLM"
    names = (
        "nnUNetTrainer__nnUNetPlans__3d_lowres",
        "nnUNetTrainer__nnUNetPlans__3d_cascade_fullres",
    )
    assert {path.name for path in root.iterdir() if path.is_dir()} == {*names}
    for name in names:
        assert {"plans.json", "dataset.json"} <= {path.name for path in (root / name).iterdir()}
        for k in FOLDS:
            assert checkpoint(root / name / f"fold_{k}")["trainer_name"] == "nnUNetTrainer"


@pytest.fixture(scope="module")
def tracked(miniature):
    """MLflow's client, the first `kedro run`, and the runs below it."""
    client = MlflowClient(miniature.tracking)
    experiment = client.get_experiment_by_name("coala_kedro").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    parent = runs[0]
    assert parent_of(parent) is None
    return client, parent, [run for run in runs if parent_of(run) == parent.info.run_id]


def parent_of(run):
    return run.data.tags.get("mlflow.parentRunId")


def test_mlflow_has_a_run_per_training_with_its_curves(tracked, miniature):
    client, _, children = tracked
    expected = {(m, s, str(k)) for m in MODELS for s in STAGES for k in FOLDS}
    assert len(children) == len(expected)
    assert {
        tuple(r.data.params[k] for k in ("model", "stage", "fold")) for r in children
    } == expected
    for run in children:
        assert run.info.status == "FINISHED"
        assert run.data.params["epochs"] == str(miniature.protocol.epochs)
        assert run.data.params["planning.base_features"] == "4"
        for metric in ("train_loss", "validation_loss", "learning_rate", "pseudo_dice_mean"):
            history = client.get_metric_history(run.info.run_id, metric)
            assert [m.step for m in history] == [*range(miniature.protocol.epochs)], metric


def test_mlflow_has_the_summary_and_the_results(tracked, miniature):
    client, parent, _ = tracked
    assert parent.info.status == "FINISHED"
    summary = reported(miniature, "summary").dropna(subset=["value"])
    for row in summary.itertuples():
        name = f"{row.model}.{row.cohort}.{row.subset}.{row.metric}"
        assert parent.data.metrics[name] == pytest.approx(row.value), name
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"summary.csv", "scan_metrics.csv", "table_2.csv", "figure_3.png"} <= artifacts
    assert {"bland_altman.png", "dice.svg", "pseudo_label_review.csv", "report.html"} <= artifacts
    for model in MODELS:
        assert [f.path for f in client.list_artifacts(parent.info.run_id, model)] == [
            f"{model}/nnUNetPlans.json"
        ]


def test_mlflow_has_the_models_with_their_cards_and_what_they_were_trained_on(tracked, miniature):
    client, parent, _ = tracked
    for model in MODELS:
        folder = miniature.data / "06_models" / model / "Dataset001_CRLM"
        registered = f"name = 'demo-{model}' and run_id = '{parent.info.run_id}'"
        (version,) = client.search_model_versions(registered)
        assert version.description.startswith(f"# Model card: {model}")
        assert version.tags["path"] == "/".join(folder.parts[-3:])
        mark = json.loads((folder / "model.json").read_text())
        assert version.tags["fingerprint"] == mark["fingerprint"]
        assert client.list_logged_model_artifacts(version.source.rpartition("/")[2]) == []
    run = client.get_run(parent.info.run_id)
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {
        f"{model}.training_set" for model in MODELS
    }


def test_a_run_ends_with_the_address_of_its_runs_in_mlflow(miniature):
    last = (miniature.project / "first.log").read_text().splitlines()[-1]
    assert "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning" in last


def test_a_first_run_alarms_nobody(miniature):
    log = (miniature.project / "first.log").read_text()
    assert "INFO" in log
    assert not re.findall(r".* (?:ERROR|CRITICAL) .*", log)


def test_the_same_command_again_trains_nothing_and_reports_the_same(miniature, tmp_path):
    summary = (miniature.data / "08_reporting" / "summary.csv").read_bytes()
    kept = {
        path: path.stat().st_mtime_ns
        for folder in ("06_models", "07_model_output")
        for path in (miniature.data / folder).rglob("*")
        if path.suffix in (".pth", ".b2nd", ".gz", ".txt")
    }
    assert len(kept) > 2 * 2 * 5 * 2
    log = miniature.run("--pipelines", "demo", log=tmp_path / "second.log")
    assert len(re.findall(r"made_folder: .* stands\.", log)) == 2 * (1 + 2 * 5)
    assert " made in " not in log
    assert {*re.findall(r"volume_folder: .*: (\d+) made", log)} == {"0"}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (miniature.data / "08_reporting" / "summary.csv").read_bytes() == summary


def test_a_changed_protocol_trains_again_and_keeps_the_old_fold(
    miniature, checkpoint, same_weights, tmp_path, caplog
):
    caplog.set_level("INFO")
    study = miniature.copy(tmp_path, "05_model_input/teacher", "06_models/teacher")
    folder, shelf = study.fold_folder("teacher", "lowres", 0), "superseded"
    train = partial(
        training.train_lowres, study.preprocessed("teacher"), compute=study.compute, fold=0
    )
    folds = json.loads((study.data / "05_model_input/teacher/folds.json").read_text())
    dataset = MadeFolderDataset(path=str(folder))
    before = dataset.load().fingerprint

    dataset.save(train(folds=folds, model_name="teacher", protocol=study.protocol))
    assert "fold_0 stands." in caplog.text
    assert not (folder.parent / shelf).exists()

    shorter = study.protocol.model_copy(update={"epochs": 1})
    dataset.save(train(folds=folds, model_name="teacher", protocol=shorter))
    assert dataset.load().fingerprint != before
    assert checkpoint(folder)["current_epoch"] == 1
    (kept,) = (folder.parent / shelf).iterdir()
    assert kept.name.startswith("fold_0-")
    assert same_weights(kept, miniature.fold_folder("teacher", "lowres", 0))
