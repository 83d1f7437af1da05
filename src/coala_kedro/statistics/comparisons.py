"""Every test of the study in one frame: as the paper does, and with patients instead of scans.

A test on data too thin to judge gives NaN and the reason, so that one small cohort does not end a
study. p values are not corrected for their number.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from coala_kedro.statistics.bootstrap import patient_bootstrap
from coala_kedro.statistics.estimate import NAN, UNDEFINED, Estimate
from coala_kedro.statistics.mixed_model import last_effect
from coala_kedro.statistics.rater_metrics import CONSENSUS_OF_OTHERS, READER

METRICS = (
    *("dice", "nsd_3mm", "volume_error_ml", "absolute_volume_error_ml"),
    *("sensitivity", "n_false_positives"),
)
"""Columns of the metrics, or computed from them: sensitivity is that of a scan for its lesions."""
COLUMNS = (
    "comparison",
    "cohort",
    "metric",
    "test",
    "estimate",
    "ci_low",
    "ci_high",
    "effect_size",
    "statistic",
    "p",
    "n_scans",
    "n_patients",
    "note",
)
_SCAN = ["scan_id", "patient_id"]


@dataclass(frozen=True)
class Test:
    """The result of a test.

    Attributes:
        test: Its name.
        n_scans: Scans it rests on.
        n_patients: Their patients.
        note: What it takes for granted, or why it is NaN.
        estimate: Difference of means, with its 95 % interval.
        effect_size: Standardised difference.
        statistic: t, or Wilcoxon's W.
        p: Two-sided.
    """

    __test__ = False  # pytest would collect it

    test: str
    n_scans: int
    n_patients: int
    note: str
    estimate: Estimate = UNDEFINED
    effect_size: float = NAN
    statistic: float = NAN
    p: float = NAN


def compare(
    scan_metrics: pd.DataFrame, reader_metrics: pd.DataFrame, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Test every model after against before therapy, and models against each other and readers.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `scan_id`, `patient_id`,
            `timepoint`, `dice`, `nsd_3mm`, `volume_error_ml`, `n_lesions`, `n_hits`,
            `n_false_positives`.
        reader_metrics: As `rater_metrics.score_raters` has it, with `cohort` and identity columns.
        n_resamples: Bootstrap resamples over patients.
        seed: Seed of the bootstrap.

    Returns:
        Frame with `COLUMNS`. `comparison` reads `<model>: post - pre`, `<model> - <model>` (paired
        by scan, the later model first) or `<model> - readers` (paired by scan: both against the
        consensus of the other readers, readers averaged). `note` says what a test takes for
        granted, or why it is NaN.
    """
    scans = _with_computed(scan_metrics)
    raters = reader_metrics if reader_metrics.empty else _with_computed(reader_metrics)
    rows = []
    for cohort, group in scans.groupby("cohort", sort=False):
        of_cohort = raters[raters["cohort"] == cohort]
        for metric in METRICS:
            about = {"cohort": str(cohort), "metric": metric}
            tests = [
                (f"{model}: post - pre", compare_timepoints(own, metric))
                for model, own in group.groupby("model", sort=False)
            ]
            tests += [
                (comparison, compare_paired(differences, n_resamples, seed))
                for pairs in (_models(group, metric), _readers(of_cohort, metric))
                for comparison, differences in pairs
            ]
            rows += [
                {"comparison": comparison} | about | _row(test)
                for comparison, results in tests
                for test in results
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _with_computed(metrics: pd.DataFrame) -> pd.DataFrame:
    return metrics.assign(
        absolute_volume_error_ml=metrics["volume_error_ml"].abs(),
        sensitivity=metrics["n_hits"] / metrics["n_lesions"].where(metrics["n_lesions"] > 0),
    )


def _models(scans: pd.DataFrame, metric: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The later model's less the earlier's value of every scan."""
    wide = scans.pivot(index=_SCAN, columns="model", values=metric)
    for earlier, later in pairwise(scans["model"].unique()):
        yield f"{later} - {earlier}", _differences(wide[later] - wide[earlier])


def _readers(raters: pd.DataFrame, metric: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """A model's less the readers' value of every scan, each against the others' consensus."""
    against = raters[raters["reference_kind"] == CONSENSUS_OF_OTHERS]
    if against.empty:
        return
    means = against.groupby(["rater_kind", "rater", *_SCAN], sort=False)[metric].mean()
    readers = means[READER].groupby(_SCAN).mean()
    for (kind, rater), values in means.groupby(["rater_kind", "rater"], sort=False):
        if kind != READER:
            yield f"{rater} - readers", _differences(values.droplevel([0, 1]) - readers)


def _differences(values: pd.Series) -> pd.DataFrame:
    return values.rename("difference").reset_index()


def _row(test: Test) -> dict[str, object]:
    estimate = test.estimate
    interval = {"ci_low": estimate.low, "ci_high": estimate.high}
    return asdict(test) | {"estimate": estimate.value} | interval


def compare_timepoints(scans: pd.DataFrame, metric: str) -> list[Test]:
    """After against before systemic therapy, by three tests.

    Args:
        scans: One row per scan: `patient_id`, `timepoint` and the metric; scans without it are
            left out.
        metric: Name of its column.

    Returns:
        Differences after - before: Welch's test of scans (effect size Hedges' g), a mixed model
        with a random intercept for each patient (coefficient over the scans' standard deviation),
        and a t-test of the patients who have both, on means of their scans (Hedges' g of the
        differences).
    """
    known = scans.dropna(subset=metric)
    is_after = (known["timepoint"] == "post").to_numpy()
    values = known[metric].to_numpy(dtype=float)
    after, before = values[is_after], values[~is_after]
    difference, t, p = welch(after, before)
    if math.isnan(p):
        few = min(len(after), len(before)) < 2
        thin = "fewer than 2 scans before or after therapy" if few else "no value varies"
        of_scans = Test("Welch", *_sizes(known), thin)
    else:
        note, size = "as in the paper; takes scans as independent", _hedges_g(after, before)
        of_scans = Test("Welch", *_sizes(known), note, difference, size, t, p)
    design = np.column_stack([np.ones(len(values)), is_after]).astype(float)
    mixed = _mixed_model(values, design, known, "no scan before or none after therapy")
    means = known.groupby(["patient_id", "timepoint"])[metric].mean().unstack()
    means = means.reindex(columns=["pre", "post"]).dropna()
    in_both = known[known["patient_id"].isin(means.index)]
    return [of_scans, mixed, _paired_t((means["post"] - means["pre"]).to_numpy(), in_both)]


def compare_paired(scans: pd.DataFrame, n_resamples: int, seed: int) -> list[Test]:
    """Whether differences of two raters of the same scans are zero on average, by two tests.

    Args:
        scans: One row per scan: `patient_id` and `difference`; scans without it are left out.
        n_resamples: Bootstrap resamples over patients.
        seed: Seed of the bootstrap.

    Returns:
        A mixed model with a random intercept for each patient (effect size: mean over the scans'
        standard deviation), and Wilcoxon's signed-rank test of patients' means, with the mean over
        scans, its interval by bootstrap over patients and the rank-biserial correlation.
    """
    known = scans.dropna(subset="difference")
    values = known["difference"].to_numpy(dtype=float)
    mixed = _mixed_model(values, np.ones((len(values), 1)), known, "no scan")
    return [mixed, _wilcoxon(known, n_resamples, seed)]


def welch(a: ArrayLike, b: ArrayLike) -> tuple[Estimate, float, float]:
    """Welch's t-test that two independent samples have one mean (Welch 1947).

    The paper's test of Dice before against after systemic therapy. It takes scans as independent,
    which several scans of a patient are not.

    Args:
        a: First sample.
        b: Second sample.

    Returns:
        Mean of the first less the second with its interval, t, and the two-sided p. All NaN if a
        sample has fewer than 2 values or a NaN, or if neither varies.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    few = min(len(first), len(second)) < 2
    if few or np.isnan([*first, *second]).any() or not (_varies(first) or _varies(second)):
        return UNDEFINED, NAN, NAN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one sample that does not vary
        result = scipy.stats.ttest_ind(first, second, equal_var=False)
    interval = result.confidence_interval()
    estimate = Estimate(first.mean() - second.mean(), interval.low, interval.high)
    return estimate, float(result.statistic), float(result.pvalue)


def _hedges_g(a: ArrayLike, b: ArrayLike) -> float:
    """Difference of means over the standard deviation, unbiased (Hedges 1981)."""
    import pingouin

    return float(pingouin.compute_effsize(a, b, eftype="hedges"))


def _mixed_model(
    values: NDArray[np.float64], design: NDArray[np.float64], scans: pd.DataFrame, no_scan: str
) -> Test:
    effect, n = last_effect(values, design, scans["patient_id"]), _sizes(scans)
    note = "random intercept for each patient"
    if math.isnan(effect.p):
        if not len(values) or np.linalg.matrix_rank(design) < design.shape[1]:
            note = no_scan
        else:
            few = n[1] <= design.shape[1]
            note = f"only {_patients(n[1])}" if few else "no value varies within patients"
    elif n[0] == n[1]:
        note = "no patient has two scans: a t-test of scans"
    size = effect.estimate.value / effect.sd
    return Test("mixed model", *n, note, effect.estimate, size, effect.t, effect.p)


def _paired_t(differences: NDArray[np.float64], scans: pd.DataFrame) -> Test:
    name, n = "paired t, patients", _sizes(scans)
    if len(differences) < 2:
        return Test(name, *n, f"only {_patients(n[1])} scanned before and after therapy")
    if not _varies(differences):
        return Test(name, *n, "every patient differs by the same")
    result = scipy.stats.ttest_1samp(differences, 0)
    interval = result.confidence_interval()
    estimate = Estimate(float(differences.mean()), float(interval.low), float(interval.high))
    size, note = _hedges_g(differences, 0), "patients scanned before and after therapy"
    if len(differences) == 2:  # Hedges' correction leaves nothing of it
        size, note = NAN, f"2 {note}: no effect size"
    return Test(name, *n, note, estimate, size, float(result.statistic), float(result.pvalue))


def _wilcoxon(scans: pd.DataFrame, n_resamples: int, seed: int) -> Test:
    import pingouin

    name, n = "Wilcoxon, patients", _sizes(scans)
    if not n[0]:
        return Test(name, *n, "no scan")
    low, high = patient_bootstrap(scans, lambda c: c["difference"].mean(), n_resamples, seed)
    estimate = Estimate(float(scans["difference"].mean()), float(low), float(high))
    means = scans.groupby("patient_id")["difference"].mean().to_numpy()
    if len(means) < 2:
        return Test(name, *n, "only one patient", estimate)
    if not means.any():
        return Test(name, *n, "no patient's mean differs from zero", estimate)
    ranks = pingouin.wilcoxon(means, correction=False).loc["Wilcoxon"]
    note = "interval by bootstrap over patients"
    return Test(name, *n, note, estimate, ranks["RBC"], ranks["W_val"], ranks["p_val"])


def _varies(values: NDArray[np.float64]) -> bool:
    """Whether values differ by more than rounding does."""
    return bool(len(values)) and bool(np.ptp(values) > 1e-12 * np.abs(values).max())


def _sizes(scans: pd.DataFrame) -> tuple[int, int]:
    return len(scans), scans["patient_id"].nunique()


def _patients(n: int) -> str:
    return "1 patient" if n == 1 else f"{n} patients"
