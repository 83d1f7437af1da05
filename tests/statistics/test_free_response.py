import numpy as np
import pandas as pd
import pytest
from mask_pairs import mask_pair

from coala_kedro.statistics.free_response import candidates, free_response
from coala_kedro.statistics.lesion_matching import count_lesions, score_lesions


def line(**lesions):
    """A row of voxels with a value at each span."""
    row = np.zeros((1, 1, 40), dtype=int)
    for span, value in lesions.items():
        start, stop = map(int, span[1:].split("_"))
        row[..., start:stop] = value
    return row


def test_a_lesions_confidence_is_the_mean_share_of_folds_over_it():
    reference = line(_0_4=1, _10_14=1, _20_24=1) > 0
    predicted = line(_0_4=1, _30_32=1) > 0
    votes = line(_0_2=5, _2_4=4, _10_14=2, _30_32=3, _36_38=1)
    rows = candidates(reference, predicted, votes, n_folds=5)
    assert rows.to_dict("list") == {
        "confidence": pytest.approx([0.9, 0.6, 0.4, 0.2]),
        "hit": [True, False, True, False],
        "in_prediction": [True, True, False, False],
    }


def test_votes_that_touch_a_predicted_lesion_are_part_of_it():
    reference = line(_0_4=1, _6_9=1) > 0
    rows = candidates(reference, line(_0_4=1) > 0, line(_0_4=5, _4_9=1), n_folds=5)
    assert len(rows) == 1


@pytest.mark.parametrize("seed", range(12))
def test_predicted_lesions_are_hit_and_invented_as_for_the_lesion_metrics(seed):
    reference, predicted, spacing = mask_pair(seed)
    votes = 3 * predicted + np.random.default_rng(seed).integers(0, 2, predicted.shape)
    rows = candidates(reference, predicted, votes, n_folds=4)
    own = rows[rows["in_prediction"]]
    status = score_lesions(reference, predicted, spacing)["status"].tolist()
    assert own["hit"].sum() == status.count("hit")
    assert (~own["hit"]).sum() == status.count("false_positive")
    counts = count_lesions(reference, predicted)
    assert counts["n_hits"] == status.count("hit")
    assert counts["n_misses"] == status.count("miss")
    assert counts["n_false_positives"] == status.count("false_positive")
    assert counts["n_lesions"] == status.count("hit") + status.count("miss")
    assert rows["hit"].sum() <= counts["n_lesions"]


def test_nothing_to_see_has_no_candidate():
    empty = np.zeros((2, 3, 4), dtype=bool)
    rows = candidates(empty, empty, empty.astype(int), n_folds=5)
    assert list(rows.columns) == ["confidence", "hit", "in_prediction"]
    assert rows.empty


def test_hits_and_false_positives_are_counted_down_to_each_confidence():
    about = {"model": "student", "cohort": "internal"}
    scans = pd.DataFrame({"n_lesions": [3, 1]}).assign(**about)
    seen = pd.DataFrame({"confidence": [0.9, 0.3, 0.3, 0.1], "hit": [True, True, False, False]})
    points = free_response(seen.assign(**about), scans)
    assert points["threshold"].tolist() == [0.9, 0.3, 0.1]
    assert points["sensitivity"].tolist() == [0.25, 0.5, 0.5]
    assert points["false_positives_per_scan"].tolist() == [0, 0.5, 1]


def test_curves_rise_and_those_without_lesions_say_so(scan_metrics):
    internal = scan_metrics["cohort"] == "internal"
    scans = scan_metrics.assign(n_lesions=scan_metrics["n_lesions"].where(internal, 0))
    rng = np.random.default_rng(0)
    seen = pd.concat(
        pd.DataFrame(
            {
                "model": m,
                "cohort": c,
                "confidence": rng.random(9).round(1),
                "hit": rng.random(9) < p,
            }
        )
        for m in ("teacher", "student")
        for c, p in (("internal", 0.5), ("external", 0.0))
    )
    curves = free_response(seen, scans)
    for (_, cohort), curve in curves.groupby(["model", "cohort"]):
        assert curve["threshold"].is_monotonic_decreasing
        assert curve["false_positives_per_scan"].is_monotonic_increasing
        if cohort == "internal":
            assert curve["sensitivity"].is_monotonic_increasing
            assert (curve["note"] == "").all()
        else:
            assert (curve["note"] == "no lesion in the consensus").all()


def test_a_model_that_sees_nothing_has_one_point_and_says_why(scan_metrics):
    curves = free_response(
        pd.DataFrame(columns=["model", "cohort", "confidence", "hit"]), scan_metrics
    )
    assert len(curves) == 4
    assert (curves["sensitivity"] == 0).all()
    assert (curves["note"] == "no fold sees a lesion").all()
