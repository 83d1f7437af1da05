"""How far a model's tumour volumes lie from the consensus: Bland and Altman's differences.

Bland & Altman, Lancet 1986, 327(8476), 307-310, and Statistical Methods in Medical Research 1999,
8(2), 135-160. Volumes are one number per scan, in the same order for both raters. Nothing here
raises on data too thin to judge: the figure is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from coala_kedro.statistics.estimate import NAN, UNDEFINED, Estimate, t_estimate


@dataclass(frozen=True)
class BlandAltman:
    """Differences predicted - reference and their 95 % limits of agreement.

    Attributes:
        bias: Mean difference, with its CI.
        sd: Standard deviation of the differences (n - 1).
        lower: bias - 1.96 SD, with its CI.
        upper: bias + 1.96 SD, with its CI.
        n: Scans that have a difference.
    """

    bias: Estimate
    sd: float
    lower: Estimate
    upper: Estimate
    n: int


@dataclass(frozen=True)
class ProportionalBias:
    """Slope of the differences on the means of both raters, its CI and two-sided p."""

    slope: Estimate
    p: float


def bland_altman(reference: ArrayLike, predicted: ArrayLike) -> BlandAltman:
    """Bias and limits of agreement, in the volumes' unit.

    Intervals by Student's t with standard errors of SD²/n for the bias and, for a limit,
    SD² (1/n + 1.96² / (2(n - 1))) (1999 paper, section 2.2; the 1986 paper rounds it to 3 SD²/n).

    Args:
        reference: Consensus volumes, one per scan.
        predicted: The model's volumes of the same scans.

    Returns:
        Positive bias: the model finds more. With one scan only the bias is known, with none or
        a NaN volume all is NaN.

    Raises:
        ValueError: The volumes are not one per scan for both.
    """
    first, second = _paired(reference, predicted)
    return _limits(second - first)


def bland_altman_percent(reference: ArrayLike, predicted: ArrayLike) -> BlandAltman:
    """Bias and limits of agreement in per cent of the mean of both (1999 paper, section 3.2).

    Args:
        reference: Consensus volumes, one per scan.
        predicted: The model's volumes of the same scans.

    Returns:
        As `bland_altman`, from -200 (all missed) to 200 (all invented); scans in which both found
        nothing have no difference in per cent and are left out.

    Raises:
        ValueError: The volumes are not one per scan for both.
    """
    first, second = _paired(reference, predicted)
    found = first + second != 0
    return _limits(200 * (second - first)[found] / (first + second)[found])


def proportional_bias(reference: ArrayLike, predicted: ArrayLike) -> ProportionalBias:
    """Whether the difference grows with the volume: least squares of difference on mean.

    Args:
        reference: Consensus volumes, one per scan.
        predicted: The model's volumes of the same scans.

    Returns:
        Slope in mL per mL; negative where the model finds too little of large loads. NaN if the
        means do not vary; CI and p need 3 scans.

    Raises:
        ValueError: The volumes are not one per scan for both.
    """
    first, second = _paired(reference, predicted)
    slope, residuals, spread = _slope((first + second) / 2, second - first)
    dof = len(first) - 2
    if math.isnan(slope) or dof < 1:
        return ProportionalBias(Estimate(slope, NAN, NAN), NAN)
    standard_error = math.sqrt(float(residuals @ residuals) / dof / spread)
    p = 2 * float(stdtr(dof, -abs(slope) / standard_error)) if standard_error else NAN
    return ProportionalBias(t_estimate(slope, standard_error, dof), p)


def _slope(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], float]:
    """Least squares slope of y on x, the residuals, and the sum of squares of x."""
    if len(x) < 2:
        return NAN, y, 0.0
    off_x, off_y = x - x.mean(), y - y.mean()
    spread = float(off_x @ off_x)
    slope = float(off_x @ off_y) / spread if spread else NAN
    return slope, off_y - slope * off_x, spread


def _limits(difference: NDArray[np.float64]) -> BlandAltman:
    n = len(difference)
    bias = float(difference.mean()) if n else NAN
    if n < 2:
        return BlandAltman(Estimate(bias, NAN, NAN), NAN, UNDEFINED, UNDEFINED, n)
    sd = float(difference.std(ddof=1))
    limit_error = sd * math.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    return BlandAltman(
        bias=t_estimate(bias, sd / math.sqrt(n), n - 1),
        sd=sd,
        lower=t_estimate(bias - 1.96 * sd, limit_error, n - 1),
        upper=t_estimate(bias + 1.96 * sd, limit_error, n - 1),
        n=n,
    )


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
