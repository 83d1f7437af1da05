import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t
from scipy.stats import ttest_ind, ttest_rel

from coala_kedro.statistics.comparisons import compare_paired, compare_timepoints, welch


def test_welch_of_a_worked_example():
    # Means 2 and 6; squared standard errors 1/3 and 20/3/4 = 5/3; t = -4 / sqrt(2).
    difference, t, p = welch([1, 2, 3], [3, 5, 7, 9])
    dof = 4 / ((1 / 9) / 2 + (25 / 9) / 3)
    margin = student_t.ppf(0.975, dof) * np.sqrt(2)
    assert t == pytest.approx(-4 / np.sqrt(2))
    assert p == pytest.approx(2 * student_t.cdf(t, dof))
    assert dataclasses.astuple(difference) == pytest.approx((-4, -4 - margin, -4 + margin))


def test_welch_does_not_pool_unequal_variances():
    few_spread, many_close = [0.1, 0.9, 0.4], [0.80, 0.81, 0.79, 0.80, 0.82, 0.81]
    pooled = ttest_ind(few_spread, many_close, equal_var=True).pvalue
    assert welch(few_spread, many_close)[2] > 3 * pooled


@pytest.mark.parametrize(
    ("a", "b"),
    [([], [1, 2]), ([1, 2], [1]), ([1, 1], [2, 2]), ([1, 2, np.nan], [1, 2])],
)
def test_welch_of_too_little_is_nan_and_no_error(a, b):
    difference, t, p = welch(a, b)
    assert np.isnan([t, p, *dataclasses.astuple(difference)]).all()


def test_the_effect_size_of_a_worked_example_is_hedges_g():
    # Means 2 and 6 after and before; pooled variance (2 + 20) / 5; correction 1 - 3 / (4 * 5 - 1).
    values = {"post": [1, 2, 3], "pre": [3, 5, 7, 9]}
    rows = [(f"p{n}", t, v) for t in values for n, v in enumerate(values[t])]
    frame = pd.DataFrame(rows, columns=["patient_id", "timepoint", "dice"])
    of_scans, _, of_patients = compare_timepoints(frame, "dice")
    assert of_scans.effect_size == pytest.approx(-4 / np.sqrt(22 / 5) * (1 - 3 / 19))
    # Differences -2, -3, -4 of the three patients with both; correction 1 - 3 / (4 * 2 - 1).
    assert of_patients.effect_size == pytest.approx(-3 / 1 * (1 - 3 / 7))


@pytest.mark.parametrize("values", [[1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
def test_too_little_has_no_effect_size(values):
    timepoints = ["post", "pre", "pre", "post"][: len(values)]
    patients = list("abcd")[: len(values)]
    frame = pd.DataFrame({"patient_id": patients, "timepoint": timepoints, "dice": values})
    of_scans, _, of_patients = compare_timepoints(frame, "dice")
    assert np.isnan([of_scans.effect_size, of_patients.effect_size]).all()


def scans(n_patients, seed=0, effect=0.0, between=1.0):
    """Patients scanned before and after therapy, the last of them only before."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), 2)[:-1]
    post = np.tile([0, 1], n_patients)[:-1]
    values = rng.normal(0, between, n_patients)[patient] + effect * post
    return pd.DataFrame(
        {
            "scan_id": [f"s{n}" for n in range(len(patient))],
            "patient_id": [f"p{n}" for n in patient],
            "timepoint": np.where(post, "post", "pre"),
            "dice": values + rng.normal(0, 0.3, len(patient)),
        }
    )


def test_repeated_scans_are_not_taken_for_independent():
    # Patients differ much more than their scans: a small effect is plain once it is paired.
    tests = {test.test: test for test in compare_timepoints(scans(15, effect=0.4), "dice")}
    assert tests["Welch"].p > 0.1
    for name in ("mixed model", "paired t, patients"):
        assert tests[name].p < 0.02
        assert tests[name].estimate.low < 0.4 < tests[name].estimate.high
    assert (tests["Welch"].n_scans, tests["Welch"].n_patients) == (29, 15)
    assert (tests["paired t, patients"].n_scans, tests["paired t, patients"].n_patients) == (28, 14)
    assert tests["Welch"].effect_size < tests["paired t, patients"].effect_size


def test_the_paired_test_is_scipys_of_the_patients_with_both():
    frame = scans(8, effect=0.2)
    whole = frame.iloc[:-1]
    before, after = (whole.loc[whole["timepoint"] == t, "dice"].to_numpy() for t in ("pre", "post"))
    paired = compare_timepoints(frame, "dice")[2]
    oracle = ttest_rel(after, before)
    assert (paired.statistic, paired.p) == pytest.approx((oracle.statistic, oracle.pvalue))


def test_scans_without_the_metric_are_left_out():
    frame = scans(8)
    frame.loc[0, "dice"] = np.nan
    assert compare_timepoints(frame, "dice")[0].n_scans == 14


def test_models_are_compared_by_scan_and_patient():
    paired = scans(12, between=0.05).rename(columns={"dice": "difference"})
    paired["difference"] = paired["difference"] * 0.1 + 0.1
    mixed, ranks = compare_paired(paired, 200, seed=1)
    means = paired.groupby("patient_id")["difference"].mean()
    assert ranks.p == pytest.approx(2 / 2 ** len(means))
    assert ranks.estimate.value == pytest.approx(paired["difference"].mean())
    assert ranks.effect_size == 1  # every patient's mean is above zero
    assert 0 < mixed.estimate.low < mixed.estimate.value < mixed.estimate.high
    assert mixed.p < 0.001


def test_the_sign_of_a_difference_is_that_of_its_estimates():
    paired = scans(9, seed=3).rename(columns={"dice": "difference"})
    there = compare_paired(paired, 100, seed=0)
    back = compare_paired(paired.assign(difference=-paired["difference"]), 100, seed=0)
    for one, other in zip(there, back, strict=True):
        assert one.estimate.value == pytest.approx(-other.estimate.value)
        assert one.effect_size == pytest.approx(-other.effect_size)
        assert one.p == pytest.approx(other.p)
