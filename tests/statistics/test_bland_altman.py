import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student_t

from coala_kedro.statistics.agreement import bland_altman, proportional_bias, volume_differences


def differences(reference, predicted):
    return volume_differences(np.array(reference, dtype=float), np.array(predicted, dtype=float))


def test_bland_altman_of_a_worked_example():
    # Differences -1, 0, 4: mean 1, variance (4 + 1 + 9) / 2 = 7.
    ours = bland_altman(np.array([-1.0, 0, 4]))
    t = student_t.ppf(0.975, 2)
    assert ours.bias.value == pytest.approx(1)
    assert ours.bias.high == pytest.approx(1 + t * np.sqrt(7 / 3))
    assert ours.lower.value == pytest.approx(1 - 1.96 * np.sqrt(7))
    limit_error = np.sqrt(7 * (1 / 3 + 1.96**2 / 4))
    assert ours.upper.low == pytest.approx(1 + 1.96 * np.sqrt(7) - t * limit_error)


def test_a_model_that_finds_more_has_a_positive_bias():
    ours = differences([1, 2, 3], [2, 3, 5])
    assert ours["volume_bias_ml"].value > 0
    assert ours["volume_difference_percent"].value > 0


def test_limits_of_one_scan_are_not_defined_but_its_bias_is():
    ours = bland_altman(np.array([2.0]))
    assert ours.bias.value == 2
    assert np.isnan([ours.bias.low, ours.lower.value, ours.upper.value]).all()
    assert np.isnan(bland_altman(np.array([])).bias.value)


WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Bland & Altman 1986, table 1: first peak flow by either meter, l/min, of 17 subjects."""


def test_the_worked_example_of_bland_and_altman():
    ours = bland_altman(np.subtract(WRIGHT, MINI))
    sd = round((ours.upper.value - ours.lower.value) / (2 * 1.96), 1)
    assert round(ours.bias.value, 1) == -2.1
    assert sd == 38.8
    # Their limits lie 2 SD from the bias, ours 1.96.
    assert round(ours.bias.value - 2 * sd, 1) == -79.7
    assert round(ours.bias.value + 2 * sd, 1) == 75.5
    assert (round(ours.bias.low, 1), round(ours.bias.high, 1)) == (-22.0, 17.8)
    # Their standard error of a limit is rounded to the square root of 3 SD² / n: 16.3 l/min.
    margin = ours.lower.value - ours.lower.low
    assert margin == pytest.approx(34.6, rel=0.01)
    assert ours.upper.high - ours.upper.value == pytest.approx(margin)


def test_differences_in_per_cent_are_of_the_mean_of_both_raters():
    # 20 % and -40 %; two empty masks have none, one empty mask is as far off as can be.
    ours = differences([90, 120, 0], [110, 80, 0])
    assert ours["volume_difference_percent"].value == pytest.approx(-10)
    limit = ours["volume_limit_upper_percent"].value
    assert limit == pytest.approx(-10 + 1.96 * 60 / np.sqrt(2))
    assert differences([0], [5])["volume_difference_percent"].value == 200
    assert np.isnan(differences([0], [0])["volume_difference_percent"].value)


def test_a_model_that_misses_a_share_has_a_proportional_bias():
    reference = np.array([10.0, 40, 90, 160, 250])
    slope, p = proportional_bias(reference, reference * 0.8 + [1, -1, 0, -1, 1])
    assert slope.value == pytest.approx(-0.2 / 0.9, abs=0.02)
    assert slope.low < slope.value < slope.high < 0
    assert p < 0.001


@pytest.mark.parametrize("seed", range(3))
def test_proportional_bias_is_scipys_regression(seed):
    reference, predicted = np.random.default_rng(seed).lognormal(2, 1, (2, 12))
    oracle = linregress((reference + predicted) / 2, predicted - reference)
    slope, p = proportional_bias(reference, predicted)
    margin = student_t.ppf(0.975, 10) * oracle.stderr
    assert slope.value == pytest.approx(oracle.slope)
    assert slope.high - slope.value == pytest.approx(margin)
    assert p == pytest.approx(oracle.pvalue)


@pytest.mark.parametrize("volumes", [[], [3.0], [3.0, 3.0]])
def test_proportional_bias_of_volumes_that_do_not_vary_is_nan(volumes):
    assert np.isnan(differences(volumes, volumes)["volume_slope"].value)
