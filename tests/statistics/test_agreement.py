import dataclasses

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coala_kedro.statistics.agreement import band, intraclass_correlation

VOLUMES = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=20
).map(lambda pairs: np.array(pairs, dtype=float).T)


def icc(*volumes):
    return intraclass_correlation(np.column_stack(volumes))


def volumes(seed, n, bias=0.0, noise=3.0):
    rng = np.random.default_rng(seed)
    reference = rng.lognormal(2.5, 1, n)
    return reference, reference + bias + rng.normal(0, noise, n)


def pingouins(*raters):
    n = len(raters[0])
    long = pd.DataFrame(
        {
            "scan": np.tile(np.arange(n), len(raters)),
            "rater": np.repeat(np.arange(len(raters)), n),
            "ml": np.concatenate(raters),
        }
    )
    return pingouin.intraclass_corr(long, "scan", "rater", "ml").set_index("Type")


@pytest.mark.parametrize(
    ("seed", "n", "bias", "noise"),
    [(0, 20, 0, 3), (1, 50, -4, 2), (2, 5, 10, 1), (3, 3, 1, 5), (4, 8, 0, 60)],
)
def test_icc_and_its_intervals_are_pingouins(seed, n, bias, noise):
    reference, predicted = volumes(seed, n, bias, noise)
    oracle = pingouins(reference, predicted)
    ours = icc(reference, predicted)
    for kind, estimate in (("ICC(C,1)", ours.consistency), ("ICC(A,1)", ours.agreement)):
        assert estimate.value == pytest.approx(oracle.loc[kind, "ICC"], abs=1e-9)
        interval = (estimate.low, estimate.high)
        assert interval == pytest.approx(oracle.loc[kind, "CI95"], abs=0.005001)


def test_icc_of_a_worked_example():
    # Scan means 1.5, 4.5, 5.5; rater means 3 and 14/3; grand mean 23/6.
    ours = icc([1, 3, 5], [2, 6, 6])
    ms_scans, ms_raters, ms_error = 26 / 3, 25 / 6, 2 / 3
    assert ours.consistency.value == pytest.approx((ms_scans - ms_error) / (ms_scans + ms_error))
    assert ours.agreement.value == pytest.approx(
        (ms_scans - ms_error) / (ms_scans + ms_error + 2 * (ms_raters - ms_error) / 3)
    )


@given(VOLUMES, st.integers(-500, 500))
def test_consistency_is_blind_to_a_constant_bias(pair, bias):
    reference, predicted = pair
    before = icc(reference, predicted).consistency
    after = icc(reference, predicted + bias).consistency
    assert dataclasses.astuple(after) == pytest.approx(
        dataclasses.astuple(before), abs=1e-6, nan_ok=True
    )


def test_absolute_agreement_falls_with_a_bias():
    reference, predicted = volumes(0, 20)
    unbiased = icc(reference, predicted).agreement.value
    assert icc(reference, predicted + 20).agreement.value < unbiased - 0.1


@given(VOLUMES)
def test_icc_lies_within_its_interval_and_at_most_1(pair):
    ours = icc(*pair)
    assume(not np.isnan(ours.consistency.value))
    for estimate in (ours.consistency, ours.agreement):
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
    agreement = icc(reference, predicted).agreement
    assert agreement.value < 0
    assert np.isnan([agreement.low, agreement.high]).all()


def test_perfect_agreement_is_1_with_a_closed_interval():
    ours = icc([1, 5, 9], [1, 5, 9])
    assert dataclasses.astuple(ours.consistency) == (1, 1, 1)
    assert dataclasses.astuple(ours.agreement) == (1, 1, 1)


@pytest.mark.parametrize(
    ("reference", "predicted"),
    [([], []), ([1, 2], [1, 2]), ([4, 4, 4], [0, 0, 0]), ([1, 2, np.nan], [1, 2, 3])],
    ids=["no scan", "two scans", "nothing varies", "a missing volume"],
)
def test_icc_of_too_little_is_nan_and_no_error(reference, predicted):
    ours = icc(reference, predicted)
    assert np.isnan([*dataclasses.astuple(ours.consistency), ours.agreement.value]).all()


def test_a_model_that_finds_nothing_has_icc_0():
    assert icc([4, 8, 15], [0, 0, 0]).consistency.value == 0


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


def test_icc_is_shrout_and_fleiss():
    ours = intraclass_correlation(SHROUT_AND_FLEISS)
    assert round(ours.agreement.value, 2) == 0.29  # their ICC(2, 1)
    assert round(ours.consistency.value, 2) == 0.71  # their ICC(3, 1)


def test_icc_of_several_raters_is_that_of_a_hand_made_analysis_of_variance():
    # Their table 3: mean squares of 11.24 between targets, 32.49 judges, 1.02 residual.
    ours = intraclass_correlation(SHROUT_AND_FLEISS)
    scans, raters, error, n, k = 1349 / 120, 2339 / 72, 367 / 360, 6, 4
    assert (round(scans, 2), round(raters, 2), round(error, 2)) == (11.24, 32.49, 1.02)
    assert ours.consistency.value == pytest.approx((scans - error) / (scans + (k - 1) * error))
    assert ours.agreement.value == pytest.approx(
        (scans - error) / (scans + (k - 1) * error + k * (raters - error) / n)
    )


@pytest.mark.parametrize(("seed", "n", "k"), [(0, 6, 3), (1, 20, 4), (2, 5, 5)])
def test_icc_of_several_raters_is_pingouins(seed, n, k):
    rng = np.random.default_rng(seed)
    ratings = rng.lognormal(2, 1, (n, 1)) + rng.normal(0, 2, (n, k)) + rng.normal(0, 1, k)
    oracle = pingouins(*ratings.T)
    ours = intraclass_correlation(ratings)
    for kind, estimate in (("ICC(C,1)", ours.consistency), ("ICC(A,1)", ours.agreement)):
        assert estimate.value == pytest.approx(oracle.loc[kind, "ICC"], abs=1e-9)
        interval = (estimate.low, estimate.high)
        assert interval == pytest.approx(oracle.loc[kind, "CI95"], abs=0.005001)


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
