import dataclasses

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coala_kedro.statistics.agreement import band, icc_with_intervals, intraclass_correlation

VOLUMES = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=20
).map(lambda pairs: np.array(pairs, dtype=float).T)


def icc(*volumes):
    return icc_with_intervals(np.column_stack(volumes))


def volumes(seed, n, bias=0.0, noise=3.0):
    rng = np.random.default_rng(seed)
    reference = rng.lognormal(2.5, 1, n)
    return reference, reference + bias + rng.normal(0, noise, n)


@pytest.mark.parametrize(
    ("seed", "n", "k"), [(0, 20, 2), (1, 50, 2), (3, 3, 2), (4, 8, 2), (5, 6, 3), (6, 20, 4)]
)
def test_the_short_icc_of_the_bootstrap_is_pingouins(seed, n, k):
    rng = np.random.default_rng(seed)
    ratings = rng.lognormal(2, 1, (n, 1)) + rng.normal(0, 3, (n, k)) + rng.normal(0, 1, k)
    scan, rater = np.indices(ratings.shape).reshape(2, -1)
    long = pd.DataFrame({"scan": scan, "rater": rater, "ml": ratings.ravel()})
    oracle = pingouin.intraclass_corr(long, "scan", "rater", "ml").set_index("Type")["ICC"]
    assert intraclass_correlation(ratings) == pytest.approx(
        {"icc_consistency": oracle["ICC(C,1)"], "icc_agreement": oracle["ICC(A,1)"]}
    )


def test_icc_of_a_worked_example():
    # Scan means 1.5, 4.5, 5.5; rater means 3 and 14/3; grand mean 23/6.
    ours = icc([1, 3, 5], [2, 6, 6])
    ms_scans, ms_raters, ms_error = 26 / 3, 25 / 6, 2 / 3
    assert ours["icc_consistency"].value == pytest.approx(
        (ms_scans - ms_error) / (ms_scans + ms_error)
    )
    assert ours["icc_agreement"].value == pytest.approx(
        (ms_scans - ms_error) / (ms_scans + ms_error + 2 * (ms_raters - ms_error) / 3)
    )


@given(VOLUMES, st.integers(-500, 500))
def test_consistency_is_blind_to_a_constant_bias(pair, bias):
    reference, predicted = pair
    before = icc(reference, predicted)["icc_consistency"]
    after = icc(reference, predicted + bias)["icc_consistency"]
    assert dataclasses.astuple(after) == pytest.approx(
        dataclasses.astuple(before), abs=1e-6, nan_ok=True
    )


def test_absolute_agreement_falls_with_a_bias():
    reference, predicted = volumes(0, 20)
    unbiased = icc(reference, predicted)["icc_agreement"].value
    assert icc(reference, predicted + 20)["icc_agreement"].value < unbiased - 0.1


@given(VOLUMES)
def test_icc_lies_within_its_interval_and_at_most_1(pair):
    ours = icc(*pair)
    assume(not np.isnan(ours["icc_consistency"].value))
    for estimate in ours.values():
        if np.isnan(estimate.low):
            assert estimate.value < 0
            continue
        assert estimate.low - 1e-9 <= estimate.value <= estimate.high + 1e-9
        assert estimate.high <= 1 + 1e-9


@pytest.mark.parametrize(
    ("reference", "predicted"), [([0, 0, 1], [3, 3, 2]), ([0, 0, 2], [3, 4, 1])]
)
def test_a_negative_agreement_without_degrees_of_freedom_has_no_interval(reference, predicted):
    # McGraw and Wong's interval would be NaN here, and lie below the value there.
    agreement = icc(reference, predicted)["icc_agreement"]
    assert agreement.value < 0
    assert np.isnan([agreement.low, agreement.high]).all()


def test_perfect_agreement_is_1_with_a_closed_interval():
    ours = icc([1, 5, 9], [1, 5, 9])
    assert dataclasses.astuple(ours["icc_consistency"]) == (1, 1, 1)
    assert dataclasses.astuple(ours["icc_agreement"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("reference", "predicted"),
    [([], []), ([1, 2], [1, 2]), ([4, 4, 4], [0, 0, 0]), ([1, 2, np.nan], [1, 2, 3])],
    ids=["no scan", "two scans", "nothing varies", "a missing volume"],
)
def test_icc_of_too_little_is_nan_and_no_error(reference, predicted):
    ours = icc(reference, predicted)
    assert np.isnan(
        [*dataclasses.astuple(ours["icc_consistency"]), ours["icc_agreement"].value]
    ).all()


def test_a_model_that_finds_nothing_has_icc_0():
    assert icc([4, 8, 15], [0, 0, 0])["icc_consistency"].value == 0


@pytest.mark.parametrize("ratings", [[1, 2, 3], [[1], [2], [3]]])
def test_less_than_two_raters_are_refused(ratings):
    with pytest.raises(ValueError, match="two raters or more"):
        intraclass_correlation(ratings)


SHROUT_AND_FLEISS = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]
"""Shrout & Fleiss 1979, table 2: six targets, four judges."""


def test_icc_is_shrout_and_fleiss_with_the_intervals_of_psych():
    ours = icc_with_intervals(SHROUT_AND_FLEISS)
    rounded = {name: [round(n, 2) for n in dataclasses.astuple(e)] for name, e in ours.items()}
    # Their ICC(2, 1) and ICC(3, 1); intervals as R's psych::ICC prints them for this table.
    assert rounded == {"icc_agreement": [0.29, 0.02, 0.76], "icc_consistency": [0.71, 0.34, 0.95]}


def test_icc_of_several_raters_is_that_of_a_hand_made_analysis_of_variance():
    # Their table 3: mean squares of 11.24 between targets, 32.49 judges, 1.02 residual.
    ours = icc_with_intervals(SHROUT_AND_FLEISS)
    scans, raters, error, n, k = 1349 / 120, 2339 / 72, 367 / 360, 6, 4
    assert (round(scans, 2), round(raters, 2), round(error, 2)) == (11.24, 32.49, 1.02)
    assert ours["icc_consistency"].value == pytest.approx(
        (scans - error) / (scans + (k - 1) * error)
    )
    assert ours["icc_agreement"].value == pytest.approx(
        (scans - error) / (scans + (k - 1) * error + k * (raters - error) / n)
    )


def test_the_interval_of_raters_a_constant_apart_is_the_limit_of_a_vanishing_error():
    # pingouin divides by the error of the raters, which is zero here.
    volumes = np.array([1.0, 2, 4, 7]), np.array([2.0, 3, 5, 8])
    nearly = volumes[0], volumes[1] + [1e-5, -1e-5, 0, 0]
    for name, limit in icc(*volumes).items():
        found = dataclasses.astuple(icc(*nearly)[name])
        assert found == pytest.approx(dataclasses.astuple(limit), abs=1e-6)


@pytest.mark.parametrize(
    ("icc", "word"),
    [
        (-0.2, "poor"),
        (0.399, "poor"),
        (0.4, "fair"),
        (0.595, "fair"),
        (0.6, "good"),
        (0.745, "good"),
        (0.75, "excellent"),
        (1.0, "excellent"),
        (np.nan, "undefined"),
    ],
)
def test_bands_are_the_papers_and_leave_no_gap(icc, word):
    assert band(icc) == word
