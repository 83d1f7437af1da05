"""Tests of one mean against another: as the paper does, and with patients instead of scans.

A test on data too thin to judge gives NaN and the reason, so that one small cohort does not end a
study. p values are not corrected for their number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr
from scipy.stats import ttest_1samp, wilcoxon

from coala_kedro.statistics.bootstrap import patient_bootstrap
from coala_kedro.statistics.estimate import NAN, UNDEFINED, Estimate, t_estimate
from coala_kedro.statistics.mixed_model import last_effect


@dataclass(frozen=True)
class Test:
    """What a test says.

    Attributes:
        test: Its name.
        estimate: Difference of means, with its 95 % interval.
        effect_size: Standardised difference.
        statistic: t, or Wilcoxon's W.
        p: Two-sided.
        n_scans: Scans it rests on.
        n_patients: Their patients.
        note: What it takes for granted, or why it is NaN.
    """

    __test__ = False  # pytest would collect it

    test: str
    estimate: Estimate
    effect_size: float
    statistic: float
    p: float
    n_scans: int
    n_patients: int
    note: str


@dataclass(frozen=True)
class WelchTest:
    """Welch's t-test of two independent samples.

    Attributes:
        t: Statistic; positive where the first sample's mean is larger.
        dof: Degrees of freedom.
        p: Two-sided.
        difference: Mean of the first less the second, with its CI.
    """

    t: float
    dof: float
    p: float
    difference: Estimate


def welch(a: ArrayLike, b: ArrayLike) -> WelchTest:
    """Welch's t-test that two independent samples have one mean (Welch 1947).

    The paper's test of Dice before against after systemic therapy. It takes scans as independent,
    which several scans of a patient are not.

    Args:
        a: First sample.
        b: Second sample.

    Returns:
        All NaN if a sample has fewer than 2 values or a NaN, or if neither varies.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    few = min(len(first), len(second)) < 2
    if few or np.isnan([*first, *second]).any() or not (_varies(first) or _varies(second)):
        return WelchTest(NAN, NAN, NAN, UNDEFINED)
    shares = [float(side.var(ddof=1)) / len(side) for side in (first, second)]
    variance = sum(shares)
    dof = variance**2 / (shares[0] ** 2 / (len(first) - 1) + shares[1] ** 2 / (len(second) - 1))
    difference = float(first.mean() - second.mean())
    t = difference / math.sqrt(variance)
    estimate = t_estimate(difference, math.sqrt(variance), dof)
    return WelchTest(t, dof, 2 * float(stdtr(dof, -abs(t))), estimate)


def hedges_g(a: ArrayLike, b: ArrayLike) -> float:
    """Difference of means over the pooled standard deviation, unbiased (Hedges 1981).

    Args:
        a: First sample.
        b: Second sample.

    Returns:
        Positive where the first is larger; NaN if a sample has fewer than 2 values or none varies.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(len(first), len(second)) < 2:
        return NAN
    dof = len(first) + len(second) - 2
    variance = (np.var(first) * len(first) + np.var(second) * len(second)) / dof
    if not variance:
        return NAN
    return float((first.mean() - second.mean()) / math.sqrt(variance) * _unbiased(dof))


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
    result, n = welch(after, before), _sizes(known)
    few = min(len(after), len(before)) < 2
    thin = "fewer than 2 scans before or after therapy" if few else "no value varies"
    rows = [
        Test(
            "Welch",
            result.difference,
            hedges_g(after, before),
            result.t,
            result.p,
            *n,
            thin if math.isnan(result.p) else "as in the paper; takes scans as independent",
        )
    ]
    design = np.column_stack([np.ones(len(values)), is_after])
    rows.append(_mixed_model(values, design, known, "no scan before or none after therapy"))
    means = known.groupby(["patient_id", "timepoint"])[metric].mean().unstack()
    means = means.reindex(columns=["pre", "post"]).dropna()
    in_both = known[known["patient_id"].isin(means.index)]
    rows.append(_paired_t((means["post"] - means["pre"]).to_numpy(), _sizes(in_both)))
    return rows


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
    one = np.ones((len(values), 1))
    return [
        _mixed_model(values, one, known, "no scan"),
        _wilcoxon(known, n_resamples, seed),
    ]


def _mixed_model(
    values: NDArray[np.float64], design: NDArray[Any], scans: pd.DataFrame, one_sided: str
) -> Test:
    effect, n = last_effect(values, design, scans["patient_id"]), _sizes(scans)
    note = "random intercept for each patient"
    if math.isnan(effect.p):
        if not len(values) or np.linalg.matrix_rank(design) < design.shape[1]:
            note = one_sided
        else:
            few = n[1] <= design.shape[1]
            note = f"only {_patients(n[1])}" if few else "no value varies within patients"
    elif n[0] == n[1]:
        note = "no patient has two scans: a t-test of scans"
    size = effect.estimate.value / effect.sd
    return Test("mixed model", effect.estimate, size, effect.t, effect.p, *n, note)


def _paired_t(differences: NDArray[np.float64], n: tuple[int, int]) -> Test:
    name = "paired t, patients"
    if len(differences) < 2 or not _varies(differences):
        varies = f"only {_patients(n[1])} scanned before and after therapy"
        note = varies if len(differences) < 2 else "every patient differs by the same"
        return Test(name, UNDEFINED, NAN, NAN, NAN, *n, note)
    result = ttest_1samp(differences, 0)
    interval = result.confidence_interval()
    mean = float(differences.mean())
    size = mean / float(differences.std(ddof=1)) * _unbiased(len(differences) - 1)
    told = "patients scanned before and after therapy"
    note = f"2 {told}: no effect size" if math.isnan(size) else told
    return Test(
        name,
        Estimate(mean, float(interval.low), float(interval.high)),
        size,
        float(result.statistic),
        float(result.pvalue),
        *n,
        note,
    )


def _wilcoxon(scans: pd.DataFrame, n_resamples: int, seed: int) -> Test:
    name, n = "Wilcoxon, patients", _sizes(scans)
    if not n[0]:
        return Test(name, UNDEFINED, NAN, NAN, NAN, *n, "no scan")
    low, high = patient_bootstrap(scans, lambda c: c["difference"].mean(), n_resamples, seed)
    estimate = Estimate(float(scans["difference"].mean()), float(low), float(high))
    means = scans.groupby("patient_id")["difference"].mean().to_numpy()
    if not means.any() or len(means) < 2:
        note = "only one patient" if len(means) < 2 else "no patient's mean differs from zero"
        return Test(name, estimate, NAN, NAN, NAN, *n, note)
    result = wilcoxon(means)
    n_ranked = np.count_nonzero(means)
    ranks = n_ranked * (n_ranked + 1) / 2
    size = 2 * _positive_ranks(means) / ranks - 1
    note = "interval by bootstrap over patients"
    return Test(name, estimate, size, float(result.statistic), float(result.pvalue), *n, note)


def _positive_ranks(means: NDArray[np.float64]) -> float:
    signed = pd.Series(means[means != 0])
    return float(signed.abs().rank()[signed > 0].sum())


def _unbiased(dof: int) -> float:
    """Hedges' correction of a standardised difference for few values; NaN for two."""
    return 1 - 3 / (4 * dof - 1) if dof > 1 else NAN


def _varies(values: NDArray[np.float64]) -> bool:
    """Whether values differ by more than rounding does."""
    return bool(len(values)) and bool(np.ptp(values) > 1e-12 * np.abs(values).max())


def _sizes(scans: pd.DataFrame) -> tuple[int, int]:
    return len(scans), scans["patient_id"].nunique()


def _patients(n: int) -> str:
    return "1 patient" if n == 1 else f"{n} patients"
