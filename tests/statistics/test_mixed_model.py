import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind, ttest_rel
from statsmodels.regression.mixed_linear_model import MixedLM

from coala_kedro.statistics.mixed_model import last_effect


def scans(seed, n_patients, between=1.0, within=0.5, most=4):
    """Patients of 1 … most scans, some of them after therapy."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, most + 1, n_patients))
    post = rng.integers(0, 2, len(patients))
    values = rng.normal(0, between, n_patients)[patients] + 0.4 * post
    return values + rng.normal(0, within, len(patients)), post, patients


def design(post):
    return np.column_stack([np.ones(len(post)), post])


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.parametrize("between", [1.0, 0.2])
def test_it_is_statsmodels(seed, between):
    values, post, patients = scans(seed, 15, between)
    oracle = MixedLM(values, design(post), patients).fit(reml=True)
    ours = last_effect(values, design(post), patients)
    of_patients = np.asarray(oracle.cov_re).item()
    assert ours.estimate.value == pytest.approx(oracle.fe_params[1], rel=1e-3, abs=1e-5)
    assert ours.sd**2 == pytest.approx(of_patients + oracle.scale, rel=1e-3)
    assert ours.t == pytest.approx(oracle.tvalues[1], rel=0.1)
    # Generalised least squares with all that statsmodels found written out.
    same = patients[:, None] == patients
    covariance = of_patients * same + oracle.scale * np.eye(len(values))
    x = design(post)
    of_coefficients = np.linalg.inv(x.T @ np.linalg.solve(covariance, x))
    expected = oracle.fe_params[1] / np.sqrt(of_coefficients[1, 1])
    assert ours.t == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_one_scan_each_is_students_test_of_two_samples():
    values, post, _ = scans(0, 12, most=1)
    ours = last_effect(values, design(post), np.arange(12))
    oracle = ttest_ind(values[post == 1], values[post == 0])
    assert (ours.t, ours.p) == pytest.approx((oracle.statistic, oracle.pvalue))


def test_balanced_patients_are_a_test_of_their_means():
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(9), 2)
    values = 0.5 + rng.normal(0, 1, 9)[patients] + rng.normal(0, 0.3, 18)
    ours = last_effect(values, np.ones((18, 1)), patients)
    oracle = ttest_1samp(values.reshape(9, 2).mean(axis=1), 0)
    assert (ours.t, ours.p) == pytest.approx((oracle.statistic, oracle.pvalue), rel=1e-4)
    post = np.tile([0, 1], 9)
    ours = last_effect(values, design(post), patients)
    oracle = ttest_rel(values[1::2], values[::2])
    assert (ours.t, ours.p) == pytest.approx((oracle.statistic, oracle.pvalue), rel=1e-3)


def test_patients_who_do_not_differ_leave_ordinary_least_squares():
    values, patients = np.array([1.0, -1, 2, -2, 3, -3]), np.repeat([0, 1, 2], 2)
    ours = last_effect(values + 0.5, np.ones((6, 1)), patients)
    assert ours.t == pytest.approx(ttest_1samp(values + 0.5, 0).statistic)


@pytest.mark.parametrize(
    ("values", "post", "patients"),
    [
        ([], [], []),
        ([1.0], [1], [0]),
        ([1.0, 2, 3, 4], [0, 0, 1, 1], [0, 0, 1, 1]),
        ([1.0, 2, 3, 4], [0, 0, 0, 0], [0, 1, 2, 3]),
        ([1.0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 2]),
        ([1.0, 1, 2, 2, 4, 4], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 2, 2]),
        ([1.0, np.nan, 1, 2], [0, 1, 0, 1], [0, 0, 1, 2]),
    ],
    ids=[
        "no scan",
        "one scan",
        "two patients",
        "one side",
        "nothing varies",
        "only patients vary",
        "a missing value",
    ],
)
def test_too_little_to_fit_is_nan_and_no_error(values, post, patients):
    x = design(np.array(post, dtype=float))
    ours = last_effect(values, x, patients)
    assert np.isnan([ours.t, ours.p, ours.sd, ours.estimate.value]).all()
