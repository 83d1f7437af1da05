"""How well a model's tumour volumes agree with the consensus, scan by scan.

ICC: McGraw & Wong, Psychological Methods 1996, 1(1), 30-46. Bland-Altman: Bland & Altman, Lancet
1986, 327(8476), 307-310. Volumes are one number per scan, in the same order for both raters.
None of these raises on data too thin to judge: the figure is NaN, so that one small subset does
not end a study.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtri, stdtrit
from scipy.stats import ttest_ind

NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A figure and its two-sided 95 % confidence interval, unrounded; NaN where undefined."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(NAN, NAN, NAN)


@dataclass(frozen=True)
class IntraclassCorrelation:
    """Two-way mixed, single-measure ICC of model and consensus.

    Attributes:
        consistency: ICC(C,1), the paper's (pingouin's former `ICC3`); blind to a constant bias.
        agreement: ICC(A,1), absolute agreement; lowered by a bias.
    """

    consistency: Estimate
    agreement: Estimate


@dataclass(frozen=True)
class BlandAltman:
    """Differences predicted - reference in mL and their 95 % limits of agreement.

    Attributes:
        bias_ml: Mean difference, with its CI.
        sd_ml: Standard deviation of the differences (n - 1).
        lower_ml: bias - 1.96 SD, with its CI.
        upper_ml: bias + 1.96 SD, with its CI.
    """

    bias_ml: Estimate
    sd_ml: float
    lower_ml: Estimate
    upper_ml: Estimate


@dataclass(frozen=True)
class WelchTest:
    """Welch's t-test of two independent samples: t, degrees of freedom, two-sided p."""

    t: float
    dof: float
    p: float


def intraclass_correlation(reference: ArrayLike, predicted: ArrayLike) -> IntraclassCorrelation:
    """ICC(C,1) and ICC(A,1) with F-based 95 % intervals (McGraw & Wong 1996, tables 4 and 7).

    The intervals take scans as independent; with several scans of a patient they are too narrow
    (see `bootstrap`).

    Args:
        reference: Consensus volumes, one per scan.
        predicted: The model's volumes of the same scans.

    Returns:
        Both correlations; all NaN with fewer than 3 scans, a NaN volume, or neither rater's
        volumes varying between scans. A negative ICC(A,1) may have no interval: there the
        approximate degrees of freedom can fall below 1.

    Raises:
        ValueError: The volumes are not one per scan for both.
    """
    ratings = np.column_stack(_paired(reference, predicted))
    n = len(ratings)
    if n < 3 or np.isnan(ratings).any() or not np.ptp(ratings, axis=0).any():
        return IntraclassCorrelation(UNDEFINED, UNDEFINED)
    grand = ratings.mean()
    scans = ratings.mean(axis=1) - grand
    raters = ratings.mean(axis=0) - grand
    residuals = ratings - grand - scans[:, None] - raters[None, :]
    ms_scans = 2 * float(scans @ scans) / (n - 1)
    ms_raters = n * float(raters @ raters)
    ms_error = float(np.sum(residuals**2)) / (n - 1)
    return IntraclassCorrelation(
        _consistency(ms_scans, ms_error, n), _agreement(ms_scans, ms_raters, ms_error, n)
    )


def band(icc: float) -> str:
    """The paper's word for an ICC: poor < 0.4 <= fair < 0.6 <= good < 0.75 <= excellent.

    NaN is `undefined`.
    """
    if math.isnan(icc):
        return "undefined"
    bounds = {"poor": 0.4, "fair": 0.6, "good": 0.75}
    return next((word for word, bound in bounds.items() if icc < bound), "excellent")


def bland_altman(reference_ml: ArrayLike, predicted_ml: ArrayLike) -> BlandAltman:
    """Bias and limits of agreement of the predicted volumes.

    Intervals by Student's t with the 1986 paper's standard errors: SD²/n for the bias,
    SD² (1/n + 1.96² / (2(n - 1))) for a limit.

    Args:
        reference_ml: Consensus volumes in mL, one per scan.
        predicted_ml: The model's volumes in mL of the same scans.

    Returns:
        Positive bias: the model finds more. With one scan only the bias is known, with none or
        a NaN volume all is NaN.

    Raises:
        ValueError: The volumes are not one per scan for both.
    """
    reference, predicted = _paired(reference_ml, predicted_ml)
    difference = predicted - reference
    n = len(difference)
    bias = float(difference.mean()) if n else NAN
    if n < 2:
        return BlandAltman(Estimate(bias, NAN, NAN), NAN, UNDEFINED, UNDEFINED)
    sd = float(difference.std(ddof=1))
    t = float(stdtrit(n - 1, 0.975))
    margin = t * sd / math.sqrt(n)
    limit_margin = t * sd * math.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    return BlandAltman(
        bias_ml=_around(bias, margin),
        sd_ml=sd,
        lower_ml=_around(bias - 1.96 * sd, limit_margin),
        upper_ml=_around(bias + 1.96 * sd, limit_margin),
    )


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
    if min(len(first), len(second)) < 2 or not (np.ptp(first) or np.ptp(second)):
        return WelchTest(NAN, NAN, NAN)
    result = ttest_ind(first, second, equal_var=False)
    return WelchTest(float(result.statistic), float(result.df), float(result.pvalue))


def _consistency(ms_scans: float, ms_error: float, n: int) -> Estimate:
    # Products, not ratios of mean squares: raters a constant apart leave no error to divide by.
    def icc(scale_scans: float, scale_error: float) -> float:
        scans, error = scale_scans * ms_scans, scale_error * ms_error
        return (scans - error) / (scans + error)

    f = float(fdtri(n - 1, n - 1, 0.975))
    return Estimate(value=icc(1, 1), low=icc(1, f), high=icc(f, 1))


def _agreement(ms_scans: float, ms_raters: float, ms_error: float, n: int) -> Estimate:
    icc = (ms_scans - ms_error) / (ms_scans + ms_error + 2 * (ms_raters - ms_error) / n)
    raters = 2 * icc * ms_raters
    error = (n * (1 + icc) - 2 * icc) * ms_error
    if raters == 0 and error == 0:  # the raters agree to the last digit
        return Estimate(icc, icc, icc)
    dof = (n - 1) * (raters + error) ** 2 / ((n - 1) * raters**2 + error**2)
    if icc < 0 and dof < 1:  # Satterthwaite's weights have cancelled out
        return Estimate(icc, NAN, NAN)
    f_low, f_high = float(fdtri(n - 1, dof, 0.975)), float(fdtri(dof, n - 1, 0.975))
    other = 2 * ms_raters + (n - 2) * ms_error
    return Estimate(
        value=icc,
        low=n * (ms_scans - f_low * ms_error) / (f_low * other + n * ms_scans),
        high=n * (f_high * ms_scans - ms_error) / (other + n * f_high * ms_scans),
    )


def _around(value: float, margin: float) -> Estimate:
    return Estimate(value, value - margin, value + margin)


def _paired(
    reference: ArrayLike, predicted: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(reference, dtype=float), np.asarray(predicted, dtype=float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"Expected one volume per scan from both, got shapes {first.shape} (reference) and "
            f"{second.shape} (predicted)."
        )
    return first, second
