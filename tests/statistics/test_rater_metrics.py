import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from coala_kedro.imaging.consensus import staple
from coala_kedro.statistics.agreement import intraclass_correlation
from coala_kedro.statistics.lesion_matching import count_lesions
from coala_kedro.statistics.overlap import score_scan
from coala_kedro.statistics.rater_metrics import COLUMNS, score_raters
from coala_kedro.statistics.rater_summary import summarise_raters

SPACING_XYZ_MM = (1.0, 1.5, 3.0)


def mask(start, stop):
    array = np.zeros((4, 8, 20), np.uint8)
    array[1:3, 2:6, start:stop] = 1
    return array


def image(array):
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(SPACING_XYZ_MM)
    return made


DRAWN = {"a": mask(2, 10), "b": mask(3, 11), "c": mask(3, 12)}
MODEL = mask(4, 12) > 0


@pytest.fixture(scope="module")
def rows():
    readers = {name: image(array) for name, array in DRAWN.items()}
    return score_raters(readers, {"student": MODEL}).set_index(list(COLUMNS))


def test_every_rater_is_held_against_every_other_and_the_consensus_of_the_others(rows):
    found = {(rater, reference) for rater, _, reference, _ in rows.index}
    between = {(one, other) for one in "abc" for other in "abc" if one != other}
    of_readers = {(reader, f"all but {reader}") for reader in "abc"}
    of_model = {("student", reference) for r in "abc" for reference in (r, f"all but {r}")}
    assert found == between | of_readers | of_model
    assert len(rows) == len(found)


def test_scores_are_those_of_the_masks(rows):
    others = staple({name: image(DRAWN[name]) for name in "bc"}).mask
    consensus = sitk.GetArrayFromImage(others) > 0
    for rater, kind, drawn in (("a", "reader", DRAWN["a"] > 0), ("student", "model", MODEL)):
        row = rows.loc[(rater, kind, "all but a", "consensus of the others")]
        expected = score_scan(consensus, drawn, SPACING_XYZ_MM[::-1])
        assert row[list(expected)].to_dict() == expected
        assert row["n_hits"] == count_lesions(consensus, drawn)["n_hits"] == 1
    pair = rows.loc[("a", "reader", "b", "reader")]
    assert pair["dice"] == pytest.approx(2 * 7 / 16)
    assert pair["volume_error_ml"] == 0


def test_two_readers_are_held_against_each_other():
    rows = score_raters({name: image(DRAWN[name]) for name in "ab"}, {})
    rows = rows.set_index(["rater", "reference"])
    for column in ("dice", "hd95_mm", "predicted_ml"):
        assert rows.loc[("a", "all but a"), column] == rows.loc[("a", "b"), column]


def test_one_reader_has_nobody_to_be_held_against():
    assert score_raters({"a": image(DRAWN["a"])}, {"student": MODEL}).empty


@pytest.fixture(scope="module")
def metrics():
    """Three readers and a model on the scans of five patients, the last of them empty."""
    rng = np.random.default_rng(4)
    frames = []
    for n in range(9):
        empty = n == 8
        ends = rng.integers(10, 17) + np.arange(3)
        drawn = {r: mask(2, 2 if empty else end) for r, end in zip("abc", ends, strict=True)}
        rows = score_raters(
            {name: image(array) for name, array in drawn.items()},
            {"student": mask(3, 3 if empty else 14) > 0},
        )
        frames.append(rows.assign(cohort="internal", scan_id=f"s{n}", patient_id=f"p{n // 2}"))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def summary(metrics):
    rows = summarise_raters(metrics, n_resamples=100, seed=0)
    return rows.set_index(["rater", "reference_kind", "metric"]).sort_index()


def test_figures_of_a_rater_are_over_scans_and_references(metrics, summary):
    chosen = metrics[
        (metrics["rater"] == "student") & (metrics["reference_kind"] == "consensus of the others")
    ]
    found = summary.loc[("student", "consensus of the others")]
    assert found.loc["dice_mean", "value"] == pytest.approx(chosen["dice"].mean())
    assert found.loc["volume_bias_ml", "value"] == pytest.approx(chosen["volume_error_ml"].mean())
    assert found.loc["sensitivity", "value"] == 1
    assert (found["n_scans"] == 9).all()
    assert (found["n_patients"] == 5).all()
    assert found.loc["dice_mean", "ci_low"] < found.loc["dice_mean", "ci_high"]


def test_all_readers_together_are_their_rows_together(metrics, summary):
    chosen = metrics[(metrics["rater_kind"] == "reader") & (metrics["reference_kind"] == "reader")]
    figure = summary.loc[("readers", "reader", "dice_mean")]
    assert figure["value"] == pytest.approx(chosen["dice"].mean())
    assert figure["rater_kind"] == "reader"


def test_the_icc_of_readers_takes_all_of_them_at_once(metrics, summary):
    volumes = metrics.pivot_table(index="scan_id", columns="rater", values="predicted_ml")
    expected = intraclass_correlation(volumes[["a", "b", "c"]])
    figures = summary.loc[("readers", "each other")]["value"]
    assert figures["icc_consistency"] == pytest.approx(expected["icc_consistency"])
    assert figures["icc_agreement"] == pytest.approx(expected["icc_agreement"])


def test_no_reader_gives_no_row():
    metrics = pd.DataFrame(columns=[*COLUMNS, "cohort", "scan_id", "patient_id"])
    assert summarise_raters(metrics, 100, 0).empty
