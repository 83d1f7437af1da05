import dataclasses

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t as student_t
from scipy.stats import ttest_ind

from coala_kedro.statistics.agreement import (
    band,
    bland_altman,
    intraclass_correlation,
    welch,
)

VOLUMES = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=20
).map(lambda pairs: np.array(pairs, dtype=float).T)


def volumes(seed, n, bias=0.0, noise=3.0):
    rng = np.random.default_rng(seed)
    reference = rng.lognormal(2.5, 1, n)
    return reference, reference + bias + rng.normal(0, noise, n)


def pingouins(reference, predicted):
    n = len(reference)
    long = pd.DataFrame(
        {
            "scan": np.tile(np.arange(n), 2),
            "rater": np.repeat(["reference", "predicted"], n),
            "ml": np.concatenate([reference, predicted]),
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
    ours = intraclass_correlation(reference, predicted)
    for kind, estimate in (("ICC(C,1)", ours.consistency), ("ICC(A,1)", ours.agreement)):
        assert estimate.value == pytest.approx(oracle.loc[kind, "ICC"], abs=1e-9)
        interval = (estimate.low, estimate.high)
        assert interval == pytest.approx(oracle.loc[kind, "CI95"], abs=0.005001)


def test_icc_of_a_worked_example():
    # Scan means 1.5, 4.5, 5.5; rater means 3 and 14/3; grand mean 23/6.
    ours = intraclass_correlation([1, 3, 5], [2, 6, 6])
    ms_scans, ms_raters, ms_error = 26 / 3, 25 / 6, 2 / 3
    assert ours.consistency.value == pytest.approx((ms_scans - ms_error) / (ms_scans + ms_error))
    assert ours.agreement.value == pytest.approx(
        (ms_scans - ms_error) / (ms_scans + ms_error + 2 * (ms_raters - ms_error) / 3)
    )


@given(VOLUMES, st.integers(-500, 500))
def test_consistency_is_blind_to_a_constant_bias(pair, bias):
    reference, predicted = pair
    before = intraclass_correlation(reference, predicted).consistency
    after = intraclass_correlation(reference, predicted + bias).consistency
    assert dataclasses.astuple(after) == pytest.approx(
        dataclasses.astuple(before), abs=1e-6, nan_ok=True
    )


def test_absolute_agreement_falls_with_a_bias():
    reference, predicted = volumes(0, 20)
    unbiased = intraclass_correlation(reference, predicted).agreement.value
    assert intraclass_correlation(reference, predicted + 20).agreement.value < unbiased - 0.1


@given(VOLUMES)
def test_icc_lies_within_its_interval_and_at_most_1(pair):
    ours = intraclass_correlation(*pair)
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
    agreement = intraclass_correlation(reference, predicted).agreement
    assert agreement.value < 0
    assert np.isnan([agreement.low, agreement.high]).all()


def test_perfect_agreement_is_1_with_a_closed_interval():
    ours = intraclass_correlation([1, 5, 9], [1, 5, 9])
    assert dataclasses.astuple(ours.consistency) == (1, 1, 1)
    assert dataclasses.astuple(ours.agreement) == (1, 1, 1)


@pytest.mark.parametrize(
    ("reference", "predicted"),
    [([], []), ([1, 2], [1, 2]), ([4, 4, 4], [0, 0, 0]), ([1, 2, np.nan], [1, 2, 3])],
    ids=["no scan", "two scans", "nothing varies", "a missing volume"],
)
def test_icc_of_too_little_is_nan_and_no_error(reference, predicted):
    ours = intraclass_correlation(reference, predicted)
    assert np.isnan([*dataclasses.astuple(ours.consistency), ours.agreement.value]).all()


def test_a_model_that_finds_nothing_has_icc_0():
    assert intraclass_correlation([4, 8, 15], [0, 0, 0]).consistency.value == 0


def test_volumes_of_unequal_number_are_refused():
    with pytest.raises(ValueError, match="one volume per scan"):
        intraclass_correlation([1, 2, 3], [1, 2])


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


def test_bland_altman_of_a_worked_example():
    # Differences -1, 0, 4: mean 1, variance (4 + 1 + 9) / 2 = 7.
    ours = bland_altman([10, 20, 30], [9, 20, 34])
    t = student_t.ppf(0.975, 2)
    assert ours.bias_ml.value == pytest.approx(1)
    assert ours.sd_ml == pytest.approx(np.sqrt(7))
    assert ours.bias_ml.high == pytest.approx(1 + t * np.sqrt(7 / 3))
    assert ours.lower_ml.value == pytest.approx(1 - 1.96 * np.sqrt(7))
    limit_error = np.sqrt(7 * (1 / 3 + 1.96**2 / 4))
    assert ours.upper_ml.low == pytest.approx(1 + 1.96 * np.sqrt(7) - t * limit_error)


def test_a_model_that_finds_more_has_a_positive_bias():
    assert bland_altman([1, 2, 3], [2, 3, 5]).bias_ml.value > 0


def test_limits_of_one_scan_are_not_defined_but_its_bias_is():
    ours = bland_altman([3], [5])
    assert ours.bias_ml.value == 2
    assert np.isnan([ours.bias_ml.low, ours.sd_ml, ours.lower_ml.value, ours.upper_ml.value]).all()
    assert np.isnan(bland_altman([], []).bias_ml.value)


def test_welch_of_a_worked_example():
    # Means 2 and 6; squared standard errors 1/3 and 20/3/4 = 5/3; t = -4 / sqrt(2).
    ours = welch([1, 2, 3], [3, 5, 7, 9])
    assert ours.t == pytest.approx(-4 / np.sqrt(2))
    assert ours.dof == pytest.approx(4 / ((1 / 9) / 2 + (25 / 9) / 3))
    assert ours.p == pytest.approx(2 * student_t.cdf(ours.t, ours.dof))


def test_welch_does_not_pool_unequal_variances():
    few_spread, many_close = [0.1, 0.9, 0.4], [0.80, 0.81, 0.79, 0.80, 0.82, 0.81]
    pooled = ttest_ind(few_spread, many_close, equal_var=True).pvalue
    assert welch(few_spread, many_close).p > 3 * pooled


@pytest.mark.parametrize(
    ("a", "b"),
    [([], [1, 2]), ([1, 2], [1]), ([1, 1], [2, 2]), ([1, 2, np.nan], [1, 2])],
)
def test_welch_of_too_little_is_nan_and_no_error(a, b):
    assert np.isnan(dataclasses.astuple(welch(a, b))).all()
