"""Evaluation from masks to frames, of cohorts that leave figures undefined, too."""

import numpy as np
import pandas as pd
import pytest
from evaluated import NORMAL, ODD, READERS, SHIFTS, Cohort, evaluate, through_file
from pydantic import ValidationError

from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import predict, predict_scan
from coala_kedro.nnunet.model import TrainedModel
from coala_kedro.pipelines.evaluation import nodes
from coala_kedro.statistics.metric_list import all_metrics

pytestmark = pytest.mark.xdist_group("evaluation")


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return evaluate(Cohort(*NORMAL), tmp_path_factory.mktemp("normal"))


SHOWN = dict.fromkeys(("glance", "results", "agreement")) | {
    "table_2": "summary",
    "detection": "lesion_summary",
    "subgroups": "subgroups",
    "readers": "reader_summary",
    "tests": "tests",
}
"""Places of the list of metrics, and the frame that each shows; None shows that of the metric."""


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda m: f"{m.metric}-{m.subset}")
def test_a_metric_is_in_the_frames_of_the_places_that_list_it(frames, metric):
    for place in metric.places.split():
        assert metric.metric in {*frames[SHOWN[place] or metric.frame]["metric"]}


def test_a_cohort_without_test_scans_leaves_the_others_alone(tmp_path):
    tested, untested = Cohort(*NORMAL), Cohort(NORMAL[0])
    untested.accepted["role"] = "manual"
    for predictions in untested.predictions.values():
        predictions.clear()
    filed = through_file(tmp_path)
    alone = tested.scores("student", "internal", tmp_path)
    both = zip(alone, untested.scores("student", "external", tmp_path), strict=True)
    for own, (one, other) in zip(alone, both, strict=True):
        collected = nodes.collect_scores(filed(one), filed(other))
        pd.testing.assert_frame_equal(collected, filed(own))
    assert nodes.score_raters(untested.accepted, untested.readers, "external").empty


def test_one_reader_alone_has_nobody_to_be_compared_with(tmp_path):
    frames = evaluate(Cohort(*NORMAL, readers={"reader_1": 0}), tmp_path)
    assert frames["reader_metrics"].empty
    assert frames["reader_summary"].empty
    assert not frames["tests"]["comparison"].str.contains("readers").any()


FIGURES = {
    "summary": ["value", "ci_low"],
    "lesion_summary": ["value", "ci_low"],
    "reader_summary": ["value", "ci_low"],
    "subgroups": ["value", "ci_low"],
    "agreement": ["value", "ci_low", "bootstrap_low"],
    "tests": ["estimate", "ci_low", "effect_size", "statistic", "p"],
    "free_response": ["threshold", "sensitivity", "false_positives_per_scan"],
    "scan_metrics": ["dice", "hd95_mm", "volume_error_percent"],
    "organ_metrics": ["dice", "hd95_mm", "volume_error_percent"],
    "reader_metrics": ["dice", "hd95_mm", "volume_error_percent"],
}


CAVEATS = (
    "as in the paper; takes scans as independent",
    "random intercept for each patient",
    "no patient has two scans: a t-test of scans",
    "patients scanned before and after therapy",
    "interval by bootstrap over patients",
)
"""Notes of tests that tell no reason."""


def without_reason(frames):
    found = {}
    for name, columns in FIGURES.items():
        frame = frames[name]
        note = frame["note"].where(~frame["note"].isin(CAVEATS))
        unknown = frame[columns].isna().any(axis=1) & note.isna()
        if unknown.any():
            found[name] = frame[unknown].to_string()
    paper = frames["paper_comparison"]
    unknown = (paper["run"].isna()) & paper["note"].isna()
    return found | ({"paper_comparison": paper[unknown].to_string()} if unknown.any() else {})


def test_every_nan_of_an_ordinary_cohort_has_its_reason(frames):
    assert without_reason(frames) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ODD))
def test_an_odd_cohort_has_a_reason_for_every_nan_and_no_crash(name, tmp_path):
    frames = evaluate(Cohort(*ODD[name]), tmp_path)
    assert without_reason(frames) == {}
    assert not np.isinf(frames["summary"]["value"]).any()


def test_scans_are_scored_with_what_is_known_of_them(frames):
    scans = frames["scan_metrics"].set_index(["model", "scan_id"])
    first = scans.loc[("student", "a_pre")]
    assert first["dice"] == pytest.approx(0.75)  # two cubes of four voxels, shifted by one
    assert (first["scanner"], first["slice_thickness_mm"]) == ("A", 1.0)
    assert scans.loc[("student", "c_pre"), "slice_thickness_mm"] == 5.0  # of the image
    missed = scans.loc[("student", "b_pre")]
    assert (missed["n_lesions"], missed["n_hits"], missed["n_misses"]) == (2, 1, 1)
    assert missed["volume_error_ml"] == pytest.approx(-32 * 0.02)
    assert scans.loc[("student", "c_pre"), "n_false_positives"] == 1


def test_only_what_no_network_draws_together_lowers_the_confidence(frames):
    seen = frames["candidate_metrics"]
    assert {*seen.loc[~seen["in_prediction"], "confidence"]} == {0.2}
    assert (seen.loc[seen["in_prediction"], "confidence"] >= 0.8).all()


def test_readers_and_models_stand_side_by_side(frames):
    summary = (
        frames["reader_summary"]
        .set_index(["reference_kind", "metric", "rater"])["value"]
        .sort_index()
    )
    dice = summary["consensus of the others", "dice_mean"]
    assert {*dice.index} == {*READERS, "readers", *SHIFTS}
    assert dice["student"] > dice["teacher"]
    assert dice["readers"] == pytest.approx(dice[[*READERS]].mean())


def test_only_test_scans_are_predicted_with_the_votes_of_all_folds(tmp_path):
    cohort = Cohort(*NORMAL[:2])
    table = cohort.accepted.assign(role=["test", "manual"])
    model = TrainedModel(tmp_path, (0, 1), "")
    recipes = predict(table, cohort.scans, model, Inference(), Compute(), role="test")
    assert list(recipes) == ["a_pre"]
    assert recipes["a_pre"].func is predict_scan


@pytest.mark.parametrize("bounds", [[10.0, 1.0], [1.0, 1.0], [0.0, 1.0], []])
def test_bounds_of_classes_that_make_none_are_refused(bounds):
    with pytest.raises(ValidationError, match="ttv_bounds_ml"):
        nodes.Statistics(ttv_bounds_ml=bounds)
