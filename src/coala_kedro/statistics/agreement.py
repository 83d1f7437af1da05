"""How well raters agree on volumes, scan by scan: the intraclass correlation.

McGraw & Wong, Psychological Methods 1996, 1(1), 30-46; Shrout & Fleiss, Psychological Bulletin
1979, 86(2), 420-428. Nothing here raises on data too thin to judge: the figure is NaN, so that one
small subset does not end a study.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtri

from coala_kedro.statistics.estimate import NAN, UNDEFINED, Estimate


@dataclass(frozen=True)
class IntraclassCorrelation:
    """Two-way mixed, single-measure ICC of some raters.

    Attributes:
        consistency: ICC(C,1), the paper's (pingouin's former `ICC3`, Shrout and Fleiss' ICC(3,1));
            blind to a constant bias.
        agreement: ICC(A,1), absolute agreement (Shrout and Fleiss' ICC(2,1)); lowered by a bias.
    """

    consistency: Estimate
    agreement: Estimate


@dataclass(frozen=True)
class _MeanSquares:
    """Two-way analysis of variance of n scans by k raters."""

    scans: float
    raters: float
    error: float
    n: int
    k: int


def intraclass_correlation(ratings: ArrayLike) -> IntraclassCorrelation:
    """ICC(C,1) and ICC(A,1) with F-based 95 % intervals (McGraw & Wong 1996, tables 4 and 7).

    The intervals take scans as independent and volumes as normal; with several scans of a patient
    they are too narrow (see `bootstrap`).

    Args:
        ratings: Volumes, a row per scan and a column per rater, two raters or more.

    Returns:
        Both correlations; all NaN with fewer than 3 scans, a NaN volume, or no rater's volumes
        varying between scans. A negative ICC(A,1) may have no interval: there the approximate
        degrees of freedom can fall below 1.

    Raises:
        ValueError: The ratings are no table with two columns or more.
    """
    table = np.asarray(ratings, dtype=float)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(
            f"Expected a row per scan and a column for each of two raters or more, got shape "
            f"{table.shape}."
        )
    if len(table) < 3 or np.isnan(table).any() or not np.ptp(table, axis=0).any():
        return IntraclassCorrelation(UNDEFINED, UNDEFINED)
    squares = _mean_squares(table)
    return IntraclassCorrelation(_consistency(squares), _agreement(squares))


def band(icc: float) -> str:
    """The paper's word for an ICC: poor < 0.4 <= fair < 0.6 <= good < 0.75 <= excellent.

    NaN is `undefined`.
    """
    if math.isnan(icc):
        return "undefined"
    bounds = {"poor": 0.4, "fair": 0.6, "good": 0.75}
    return next((word for word, bound in bounds.items() if icc < bound), "excellent")


def _mean_squares(table: np.ndarray) -> _MeanSquares:
    n, k = table.shape
    grand = table.mean()
    scans = table.mean(axis=1) - grand
    raters = table.mean(axis=0) - grand
    residuals = table - grand - scans[:, None] - raters[None, :]
    return _MeanSquares(
        scans=k * float(scans @ scans) / (n - 1),
        raters=n * float(raters @ raters) / (k - 1),
        error=float(np.sum(residuals**2)) / ((n - 1) * (k - 1)),
        n=n,
        k=k,
    )


def _consistency(ms: _MeanSquares) -> Estimate:
    # Products, not ratios of mean squares: raters a constant apart leave no error to divide by.
    def icc(scale_scans: float, scale_error: float) -> float:
        scans, error = scale_scans * ms.scans, scale_error * ms.error
        return (scans - error) / (scans + (ms.k - 1) * error)

    dof, dof_error = ms.n - 1, (ms.n - 1) * (ms.k - 1)
    f_low, f_high = float(fdtri(dof, dof_error, 0.975)), float(fdtri(dof_error, dof, 0.975))
    return Estimate(value=icc(1, 1), low=icc(1, f_low), high=icc(f_high, 1))


def _agreement(ms: _MeanSquares) -> Estimate:
    n, k = ms.n, ms.k
    spread = ms.scans + (k - 1) * ms.error + k * (ms.raters - ms.error) / n
    icc = (ms.scans - ms.error) / spread
    raters = k * icc * ms.raters
    error = (n * (1 + (k - 1) * icc) - k * icc) * ms.error
    if raters == 0 and error == 0:  # the raters agree to the last digit
        return Estimate(icc, icc, icc)
    dof = (raters + error) ** 2 / (raters**2 / (k - 1) + error**2 / ((n - 1) * (k - 1)))
    if icc < 0 and dof < 1:  # Satterthwaite's weights have cancelled out
        return Estimate(icc, NAN, NAN)
    f_low, f_high = float(fdtri(n - 1, dof, 0.975)), float(fdtri(dof, n - 1, 0.975))
    other = k * ms.raters + (k * n - k - n) * ms.error
    return Estimate(
        value=icc,
        low=n * (ms.scans - f_low * ms.error) / (f_low * other + n * ms.scans),
        high=n * (f_high * ms.scans - ms.error) / (other + n * f_high * ms.scans),
    )
