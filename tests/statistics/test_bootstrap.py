import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coala_kedro.statistics.agreement import intraclass_correlation
from coala_kedro.statistics.bootstrap import columns_of, patient_bootstrap


def mean_dice(scans):
    return scans["dice"].mean()


def frame(patients, dice):
    return pd.DataFrame({"patient_id": patients, "dice": dice})


def study(rng, n_patients):
    """Two scans of each patient: Dice, skewed Dice, and skewed volumes of two raters."""
    patient = np.repeat(np.arange(n_patients), 2)
    n = len(patient)

    def normal(between, within):
        return rng.normal(0, between, n_patients)[patient] + rng.normal(0, within, n)

    reference = np.exp(3 + normal(1, 0.3))
    return pd.DataFrame(
        {
            "patient_id": patient,
            "dice": 0.85 + normal(0.05, 0.04),
            "skewed": 1 - rng.gamma(2, 0.05, n_patients)[patient] - rng.gamma(1, 0.03, n),
            "reference": reference,
            "predicted": reference * np.exp(-0.05 + normal(0.15, 0.1)),
        }
    )


def figures(scans):
    error = scans["predicted"] - scans["reference"]
    return [
        scans["dice"].mean(),
        np.median(scans["dice"]),
        np.ptp(np.quantile(scans["dice"], [0.25, 0.75])),
        scans["skewed"].mean(),
        np.median(scans["skewed"]),
        error.mean(),
        error.sum() / scans["reference"].sum(),
        intraclass_correlation(np.column_stack([scans["reference"], scans["predicted"]]))[
            "icc_consistency"
        ],
    ]


@pytest.mark.slow
def test_intervals_cover_the_truth_with_ten_patients_of_two_scans():
    truth = np.array(figures(columns_of(study(np.random.default_rng(1), 200_000))))
    rng, n_studies = np.random.default_rng(0), 400
    covered = np.zeros(len(truth))
    for seed in range(n_studies):
        low, high = patient_bootstrap(study(rng, 10), figures, 400, seed)
        covered += (low <= truth) & (truth <= high)
    share = covered / n_studies
    assert (share >= 0.90).all(), share
    assert (share <= 0.98).all(), share


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=12), st.randoms())
def test_the_order_of_scans_changes_nothing(dice, random):
    scans = frame([f"p{n // 2}" for n in range(len(dice))], dice)
    order = list(scans.index)
    random.shuffle(order)
    shuffled = scans.loc[order]
    assert mean_dice(shuffled) == pytest.approx(mean_dice(scans))
    there, back = (patient_bootstrap(s, mean_dice, 60, seed=0) for s in (scans, shuffled))
    assert there == pytest.approx(back)


@settings(max_examples=4)
@given(st.integers(0, 1000))
def test_twice_the_patients_leave_the_estimate_and_narrow_the_interval(seed):
    scans = one_scan_each(60, seed)
    twice = pd.concat([scans, scans.assign(patient_id=scans["patient_id"] + "_again")])
    assert mean_dice(twice) == pytest.approx(mean_dice(scans))
    wide, narrow = (np.ptp(patient_bootstrap(s, mean_dice, 2000, 0)) for s in (scans, twice))
    assert wide / narrow == pytest.approx(np.sqrt(2), rel=0.12)


def one_scan_each(n, seed=0):
    dice = np.random.default_rng(seed).normal(0.8, 0.1, n)
    return frame([f"p{i}" for i in range(n)], dice)


def test_the_interval_of_a_mean_is_the_normal_theory_one_for_many_patients():
    scans = one_scan_each(200)
    low, high = patient_bootstrap(scans, mean_dice, 2000, seed=1)
    margin = 1.96 * scans["dice"].std() / np.sqrt(200)
    assert (low, high) == pytest.approx(
        (scans["dice"].mean() - margin, scans["dice"].mean() + margin), abs=0.002
    )


def test_more_scans_of_the_same_patients_do_not_narrow_the_interval():
    scans = one_scan_each(12)
    repeated = pd.concat([scans] * 5, ignore_index=True)
    assert patient_bootstrap(repeated, mean_dice, 300, seed=1) == pytest.approx(
        patient_bootstrap(scans, mean_dice, 300, seed=1)
    )


def test_all_scans_of_a_drawn_patient_come_along():
    scans = frame(["a", "b", "b", "b"], [0.0, 1.0, 1.0, 1.0])
    seen = set()
    patient_bootstrap(scans, lambda drawn: seen.add(len(drawn["dice"])) or 0.0, 50, seed=0)
    assert seen == {2, 4, 6}


def test_a_seed_gives_one_interval_whatever_the_order_of_the_scans():
    scans = one_scan_each(10)
    once = patient_bootstrap(scans, mean_dice, 100, seed=5)
    assert once == pytest.approx(patient_bootstrap(scans[::-1], mean_dice, 100, seed=5))
    assert once != patient_bootstrap(scans, mean_dice, 100, seed=6)


def test_several_figures_come_from_the_same_draws():
    scans = one_scan_each(10)
    low, high = patient_bootstrap(
        scans, lambda drawn: [drawn["dice"].mean(), drawn["dice"].mean() + 1], 100, seed=1
    )
    assert low[1] - low[0] == pytest.approx(1)
    assert high[1] - high[0] == pytest.approx(1)


def test_resamples_without_the_figure_are_left_out():
    scans = one_scan_each(10)

    def without_the_first(drawn):
        return np.nan if "p0" in drawn["patient_id"] else drawn["dice"].mean()

    def with_the_first(drawn):
        return drawn["dice"].mean() if "p0" in drawn["patient_id"] else np.nan

    # A patient is in 1 - 0.9^10 = 0.65 of the resamples: half of them are needed.
    assert np.isfinite(patient_bootstrap(scans, with_the_first, 200, seed=1)).all()
    assert np.isnan(patient_bootstrap(scans, without_the_first, 200, seed=1)).all()


@pytest.mark.parametrize("n_patients", [0, 1])
def test_fewer_than_two_patients_give_no_interval(n_patients):
    scans = frame(["a"] * 3, [0.1, 0.2, 0.3])[: 3 * n_patients]
    assert np.isnan(patient_bootstrap(scans, lambda _: [0.1, 0.2], 10, seed=1)).all()


def test_no_resample_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        patient_bootstrap(one_scan_each(3), mean_dice, 0, seed=1)
