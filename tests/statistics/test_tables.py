"""Frames that are made of the scan metrics: tests, agreement, subgroups, worst scans, paper."""

import numpy as np
import pandas as pd
import pytest

from coala_kedro.statistics.agreement import agreement_table, icc_with_intervals
from coala_kedro.statistics.comparisons import COLUMNS, METRICS, compare, compare_paired, welch
from coala_kedro.statistics.paper import compare_with_paper, paper_figures
from coala_kedro.statistics.rater_metrics import COLUMNS as RATER_COLUMNS
from coala_kedro.statistics.subgroups import summarise_subgroups
from coala_kedro.statistics.worst_scans import worst_scans

pytestmark = pytest.mark.xdist_group("summary")

N_RESAMPLES = 30


def of(scan_metrics, model, cohort="internal"):
    return scan_metrics[(scan_metrics["model"] == model) & (scan_metrics["cohort"] == cohort)]


@pytest.fixture(scope="module")
def raters(scan_metrics):
    """Readers who agree with each other by a Dice of 0.8, on the scans of the metrics."""
    student = scan_metrics[scan_metrics["model"] == "student"]
    against = {"reference": "all but a", "reference_kind": "consensus of the others"}
    model = student.assign(rater="student", rater_kind="model", **against)
    readers = [
        model.assign(rater=name, rater_kind="reader", reference=f"all but {name}", dice=dice)
        for name, dice in (("a", 0.7), ("b", 0.9))
    ]
    return pd.concat([model, model.assign(reference="all but b"), *readers])


@pytest.fixture(scope="module")
def tests(scan_metrics, raters):
    return compare(scan_metrics, raters, N_RESAMPLES, seed=0)


def test_every_comparison_is_made_of_every_metric(tests):
    assert tuple(tests.columns) == COLUMNS
    expected = {"teacher: post - pre": 3, "student: post - pre": 3}
    expected |= {"student - teacher": 2, "student - readers": 2}
    for _, rows in tests.groupby(["cohort", "metric"]):
        assert rows["comparison"].value_counts().to_dict() == expected
    assert {*tests["metric"]} == {*METRICS}


def test_the_papers_test_is_among_them(tests, scan_metrics):
    scans = of(scan_metrics, "student").dropna(subset="dice")
    after = scans["timepoint"] == "post"
    rows = tests.set_index(["comparison", "cohort", "metric", "test"])
    found = rows.loc[("student: post - pre", "internal", "dice", "Welch")]
    assert found["p"] == pytest.approx(welch(scans["dice"][after], scans["dice"][~after])[2])


def test_models_are_paired_by_scan(tests, scan_metrics):
    teacher, student = (of(scan_metrics, m).set_index("scan_id") for m in ("teacher", "student"))
    paired = (student["dice"] - teacher["dice"]).rename("difference").to_frame()
    paired["patient_id"] = student["patient_id"]
    expected = compare_paired(paired.reset_index(), N_RESAMPLES, seed=0)
    rows = tests.set_index(["comparison", "cohort", "metric", "test"])
    for test in expected:
        found = rows.loc[("student - teacher", "internal", "dice", test.test)]
        assert found["estimate"] == pytest.approx(test.estimate.value)
        assert found["p"] == pytest.approx(test.p)


def test_a_model_is_held_against_the_mean_of_the_readers(tests, scan_metrics):
    rows = tests[(tests["comparison"] == "student - readers") & (tests["metric"] == "dice")]
    found = rows.set_index(["cohort", "test"]).loc[("internal", "Wilcoxon, patients")]
    expected = of(scan_metrics, "student")["dice"].mean() - 0.8
    assert found["estimate"] == pytest.approx(expected)


def test_without_readers_models_are_compared_alone(scan_metrics):
    empty = pd.DataFrame(columns=[*RATER_COLUMNS, *scan_metrics.columns])
    rows = compare(scan_metrics, empty, 1, seed=0)
    assert not rows["comparison"].str.contains("readers").any()


def test_both_intervals_of_an_icc_stand_side_by_side(scan_metrics, summary):
    table = agreement_table(scan_metrics, summary).set_index(["model", "cohort", "metric"])
    row = table.loc[("student", "internal", "icc_agreement")]
    scans = of(scan_metrics, "student")
    expected = icc_with_intervals(scans[["reference_ml", "predicted_ml"]])["icc_agreement"]
    assert (row["value"], row["ci_low"], row["ci_high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    known = summary.set_index(["model", "cohort", "subset", "metric"])
    boot = known.loc[("student", "internal", "all", "icc_agreement")]
    assert (row["bootstrap_low"], row["bootstrap_high"]) == (boot["ci_low"], boot["ci_high"])
    assert (row["interval"], row["band"]) == ("F", "excellent")
    slope = table.loc[("student", "internal", "volume_slope")]
    assert slope["value"] < 0 < slope["p"] < 0.05  # it finds nine tenths of every tumour


def test_groups_of_scans_are_whole(scan_metrics):
    scanners = np.where(scan_metrics["timepoint"] == "pre", "A", None)
    thickness = np.where(scan_metrics["timepoint"] == "pre", 2.0, 5.0)
    scans = scan_metrics.assign(scanner=scanners, slice_thickness_mm=thickness)
    rows = summarise_subgroups(scans, 10, seed=0)
    internal = rows[(rows["model"] == "student") & (rows["cohort"] == "internal")]
    counts = internal[internal["metric"] == "dice_mean"]
    n_scans = len(of(scans, "student"))
    assert (counts.groupby("grouping")["n_scans"].sum() == n_scans).all()
    by_group = internal.set_index(["grouping", "group", "metric"])["value"]
    before = of(scans, "student")[of(scans, "student")["timepoint"] == "pre"]
    for group in (("scanner", "A"), ("slice thickness", "2-4 mm")):
        assert by_group[(*group, "dice_mean")] == pytest.approx(before["dice"].mean())
        assert by_group[(*group, "sensitivity")] == 0.5
    assert ("scanner", "not recorded", "dice_mean") in by_group
    assert counts.loc[counts["grouping"] == "lesions", "group"].tolist() == ["2-5"]


def test_scans_of_unknown_scanners_are_told_of(scan_metrics):
    rows = summarise_subgroups(scan_metrics, 10, seed=0)
    unknown = rows[rows["grouping"].isin(["scanner", "slice thickness"])]
    assert (unknown["group"] == "not recorded").all()


def test_the_worst_scans_come_first_with_what_went_wrong(scan_metrics):
    worst = worst_scans(scan_metrics, n_worst=3)
    for (model, cohort), rows in worst.groupby(["model", "cohort"]):
        lowest = of(scan_metrics, model, cohort)["dice"].nsmallest(3)
        assert rows["dice"].tolist() == lowest.tolist()
        assert rows["rank"].tolist() == [1, 2, 3]
    first = worst.iloc[0]
    scans = of(scan_metrics, first["model"], first["cohort"]).set_index("scan_id")
    scan = scans.loc[first["scan_id"]]
    shared_ml = scan["intersection_voxels"] / scan["reference_voxels"] * scan["reference_ml"]
    assert first["missed_ml"] == pytest.approx(scan["reference_ml"] - shared_ml)
    assert first["invented_ml"] == pytest.approx(scan["predicted_ml"] - shared_ml)
    assert f"{first['missed_ml']:.1f} mL missed" in first["what_went_wrong"]
    assert "1 of 2 lesions missed" in first["what_went_wrong"]


@pytest.mark.parametrize(
    ("reference", "predicted", "words"),
    [(500, 0, "nothing found; all 1.0 mL missed"), (0, 500, "nothing to find; 1.0 mL invented")],
)
def test_what_went_wrong_is_said_in_words(scan_metrics, reference, predicted, words):
    scan = scan_metrics.iloc[:1].assign(
        dice=0.0,
        reference_voxels=reference,
        predicted_voxels=predicted,
        intersection_voxels=0,
        reference_ml=reference * 0.002,
        predicted_ml=predicted * 0.002,
    )
    assert worst_scans(scan)["what_went_wrong"].tolist() == [words]


def test_no_scan_gives_empty_frames(scan_metrics):
    none = scan_metrics.iloc[:0]
    for frame in (worst_scans(none), summarise_subgroups(none, 10, 0), compare(none, none, 10, 0)):
        assert frame.empty
        assert len(frame.columns) > 10


SCANS = pd.DataFrame(
    {
        "scan_id": ["a", "b", "c"],
        "patient_id": ["p", "p", "q"],
        "timepoint": ["pre", "post", "pre"],
        "role": ["test", "test", "manual"],
        "acquired_on": ["2020-01-01", "2021-01-01", "2020-01-01"],
        "age_years": [60.0, 61.0, 70.0],
        "n_crlm": [3.0, np.nan, 4.0],
    }
)


@pytest.fixture(scope="module")
def compared(summary):
    tables = {"internal": SCANS, "external": SCANS}
    return compare_with_paper(summary, tables).set_index(["metric", "subset", "cohort", "model"])


def test_figures_of_the_scans_stand_beside_the_papers(compared):
    scans = compared.xs(("", "internal", "data"), level=[1, 2, 3])
    assert (scans.loc["n_scans", "paper"], scans.loc["n_scans", "run"]) == (783, 3)
    assert scans.loc["percent_pre", "run"] == pytest.approx(200 / 3)
    assert scans.loc["age_years_mean", "run"] == 65
    assert scans.loc["n_crlm", "run"] == 7
    assert scans.loc["n_test_patients", "run"] == 1
    assert (scans.loc["n_outlined", "paper"], scans.loc["n_outlined", "run"]) == (120, 3)
    assert np.isnan(scans.loc["n_female", "run"])
    assert scans.loc["n_female", "note"] == "not recorded"


def test_figures_of_both_models_stand_beside_the_papers(compared, summary):
    known = summary.set_index(["metric", "subset", "cohort", "model"])
    for model in ("teacher", "student"):
        row = compared.loc[("icc_consistency", "all", "external", model)]
        assert row["paper"] == 0.97
        assert row["run"] == known.loc[row.name, "value"]
        assert row["ci_low"] == known.loc[row.name, "ci_low"]
        assert "-12.6 %" in row["remark"]


def test_every_external_cohort_stands_beside_the_papers(summary):
    of_external = summary[summary["cohort"] == "external"]
    three = pd.concat([summary, of_external.assign(cohort="boston")])
    cohorts = ("internal", "external", "boston")
    compared = compare_with_paper(three, dict.fromkeys(cohorts, SCANS))
    assert [*compared["cohort"].head(3)] == [*cohorts]
    rows = compared.drop(columns="cohort")
    first, boston = (
        rows[compared["cohort"] == cohort].reset_index(drop=True)
        for cohort in ("external", "boston")
    )
    pd.testing.assert_frame_equal(boston, first)
    two = compare_with_paper(summary, dict.fromkeys(cohorts[:2], SCANS))
    rest = compared[compared["cohort"] != "boston"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, two)


def test_every_figure_of_the_paper_has_its_place_and_partner(compared):
    figures = paper_figures()
    assert {*figures["place"]} == {
        "Table 1",
        "Table 2 or results text",
        "Methods or results text",
    }
    assert not figures.duplicated(["cohort", "subset", "metric"]).any()
    assert figures.groupby("metric")["cohort"].nunique().min() >= 1
    n_models = figures["source"].map({"cohort": 1, "summary": 2})
    assert len(compared) == n_models.sum()
    assert not (compared["note"] == "no test scan in the run").any()
