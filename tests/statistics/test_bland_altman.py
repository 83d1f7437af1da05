import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student_t

from coala_kedro.statistics.bland_altman import (
    bland_altman,
    bland_altman_percent,
    proportional_bias,
)


def test_bland_altman_of_a_worked_example():
    # Differences -1, 0, 4: mean 1, variance (4 + 1 + 9) / 2 = 7.
    ours = bland_altman([10, 20, 30], [9, 20, 34])
    t = student_t.ppf(0.975, 2)
    assert ours.bias.value == pytest.approx(1)
    assert ours.sd == pytest.approx(np.sqrt(7))
    assert ours.bias.high == pytest.approx(1 + t * np.sqrt(7 / 3))
    assert ours.lower.value == pytest.approx(1 - 1.96 * np.sqrt(7))
    limit_error = np.sqrt(7 * (1 / 3 + 1.96**2 / 4))
    assert ours.upper.low == pytest.approx(1 + 1.96 * np.sqrt(7) - t * limit_error)


def test_a_model_that_finds_more_has_a_positive_bias():
    assert bland_altman([1, 2, 3], [2, 3, 5]).bias.value > 0


def test_limits_of_one_scan_are_not_defined_but_its_bias_is():
    ours = bland_altman([3], [5])
    assert ours.bias.value == 2
    assert np.isnan([ours.bias.low, ours.sd, ours.lower.value, ours.upper.value]).all()
    assert np.isnan(bland_altman([], []).bias.value)


WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Bland & Altman 1986, table 1: first peak flow by either meter, l/min, of 17 subjects."""


def test_the_worked_example_of_bland_and_altman():
    ours = bland_altman(MINI, WRIGHT)
    assert round(ours.bias.value, 1) == -2.1
    assert round(ours.sd, 1) == 38.8
    # Their limits lie 2 SD from the bias, ours 1.96.
    assert round(ours.bias.value - 2 * round(ours.sd, 1), 1) == -79.7
    assert round(ours.bias.value + 2 * round(ours.sd, 1), 1) == 75.5
    assert (round(ours.bias.low, 1), round(ours.bias.high, 1)) == (-22.0, 17.8)
    # Their standard error of a limit is rounded to the square root of 3 SD² / n: 16.3 l/min.
    margin = ours.lower.value - ours.lower.low
    assert margin == pytest.approx(34.6, rel=0.01)
    assert ours.upper.high - ours.upper.value == pytest.approx(margin)


def test_differences_in_per_cent_are_of_the_mean_of_both_raters():
    # 20 % and -40 %; two empty masks have none, one empty mask is as far off as can be.
    ours = bland_altman_percent([90, 120, 0], [110, 80, 0])
    assert ours.n == 2
    assert ours.bias.value == pytest.approx(-10)
    assert ours.sd == pytest.approx(60 / np.sqrt(2))
    assert bland_altman_percent([0], [5]).bias.value == 200
    assert np.isnan(bland_altman_percent([0], [0]).bias.value)


def test_a_model_that_misses_a_share_has_a_proportional_bias():
    reference = np.array([10.0, 40, 90, 160, 250])
    ours = proportional_bias(reference, reference * 0.8 + [1, -1, 0, -1, 1])
    assert ours.slope.value == pytest.approx(-0.2 / 0.9, abs=0.02)
    assert ours.slope.low < ours.slope.value < ours.slope.high < 0
    assert ours.p < 0.001


@pytest.mark.parametrize("seed", range(3))
def test_proportional_bias_is_scipys_regression(seed):
    reference, predicted = np.random.default_rng(seed).lognormal(2, 1, (2, 12))
    oracle = linregress((reference + predicted) / 2, predicted - reference)
    ours = proportional_bias(reference, predicted)
    margin = student_t.ppf(0.975, 10) * oracle.stderr
    assert ours.slope.value == pytest.approx(oracle.slope)
    assert ours.slope.high - ours.slope.value == pytest.approx(margin)
    assert ours.p == pytest.approx(oracle.pvalue)


@pytest.mark.parametrize("volumes", [[], [3.0], [3.0, 3.0]])
def test_proportional_bias_of_volumes_that_do_not_vary_is_nan(volumes):
    assert np.isnan(proportional_bias(volumes, volumes).slope.value)


def test_volumes_of_unequal_number_are_refused():
    for method in (bland_altman, bland_altman_percent, proportional_bias):
        with pytest.raises(ValueError, match="one volume per scan"):
            method([1, 2, 3], [1, 2])
