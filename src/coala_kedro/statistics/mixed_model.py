"""A linear model with a random intercept for each patient, for scans that come in several.

The variance ratio is found by restricted maximum likelihood (Laird & Ware, Biometrics 1982, 38(4),
963-974). With one random intercept generalised least squares is ordinary least squares on values
from which a share of their patient's mean is taken away, so one number is searched for and nothing
is inverted that can be singular: no step can fail to converge, where the patients' variance is
zero least of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from coala_kedro.statistics.estimate import NAN, Estimate, t_estimate

_MOST = 1 - 1e-9
"""Share of the variance between patients, at most; at one there is no variance within to weigh."""


@dataclass(frozen=True)
class Effect:
    """A coefficient of the model.

    Attributes:
        estimate: With its 95 % interval by Student's t.
        t: Estimate over standard error.
        p: Two-sided, of the estimate being zero.
        sd: Of a scan: the square root of both variances together.
    """

    estimate: Estimate
    t: float
    p: float
    sd: float


@dataclass(frozen=True)
class _Fit:
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    variance: float
    criterion: float


def last_effect(values: ArrayLike, design: ArrayLike, patients: ArrayLike) -> Effect:
    """Fit `values = design @ coefficients + patient + rest`, and judge the last coefficient.

    Standard errors are those of generalised least squares at the variances found, as lme4 has them;
    statsmodels' come from the information of all parameters and differ by a few per cent.
    Student's t has as many degrees of freedom as patients less coefficients, or as patients in whom
    the last column varies less one, if these are more: exact for balanced patients, where the model
    is a t-test of their means or of their differences, and otherwise on the safe side. (statsmodels
    takes the normal distribution, which few patients are too few for.)

    Args:
        values: One per scan.
        design: Scans by coefficients, such as a column of ones and one of 0 and 1.
        patients: Whose each scan is.

    Returns:
        The effect; all NaN without a degree of freedom, a NaN, coefficients that the
        scans cannot tell apart, or values that do not vary (within patients of several scans).
    """
    y, x = np.asarray(values, dtype=float), np.asarray(design, dtype=float)
    _, patient_of_scan, counts = np.unique(
        np.asarray(patients), return_inverse=True, return_counts=True
    )
    n_varying = (pd.Series(x[:, -1]).groupby(patient_of_scan).nunique() > 1).sum()
    dof = max(len(counts) - x.shape[1], int(n_varying) - 1)
    undefined = Effect(Estimate(NAN, NAN, NAN), NAN, NAN, NAN)
    if dof < 1 or np.isnan(y).any() or np.linalg.matrix_rank(x) < x.shape[1]:
        return undefined
    if np.allclose(x @ np.linalg.lstsq(x, y)[0], y, rtol=1e-12, atol=1e-12):
        return undefined

    def fit(share: float) -> _Fit:
        return _fit(share, y, x, patient_of_scan, counts)

    share = _best_share(lambda s: fit(s).criterion) if counts.max() > 1 else 0.0
    if share == _MOST:
        return undefined
    best = fit(share)
    value, error = float(best.coefficients[-1]), math.sqrt(float(best.covariance[-1, -1]))
    return Effect(
        estimate=t_estimate(value, error, dof),
        t=value / error,
        p=2 * float(scipy.special.stdtr(dof, -abs(value / error))),
        sd=math.sqrt(best.variance / (1 - share)),
    )


def _best_share(criterion: Callable[[float], float]) -> float:
    found = scipy.optimize.minimize_scalar(
        criterion, bounds=(0, _MOST), method="bounded", options={"xatol": 1e-10}
    )
    return min((0.0, float(found.x), _MOST), key=criterion)


def _fit(
    share: float,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    patient_of_scan: NDArray[np.intp],
    counts: NDArray[np.intp],
) -> _Fit:
    """Least squares where the variance between patients is a share of the whole, 0 … 1."""
    ratio = share / (1 - share)
    inflation = 1 + counts * ratio
    taken = (1 - 1 / np.sqrt(inflation))[patient_of_scan]
    table = np.column_stack([x, y])
    sums = np.zeros((len(counts), table.shape[1]))
    np.add.at(sums, patient_of_scan, table)
    table = table - taken[:, None] * (sums / counts[:, None])[patient_of_scan]
    x, y = table[:, :-1], table[:, -1]
    inverse = np.linalg.inv(x.T @ x)
    coefficients = inverse @ x.T @ y
    residuals = y - x @ coefficients
    dof = len(y) - x.shape[1]
    variance = max(float(residuals @ residuals) / dof, np.finfo(float).tiny)
    log_information = -np.linalg.slogdet(inverse)[1]
    criterion = np.log(inflation).sum() + log_information + dof * math.log(variance)
    return _Fit(coefficients, variance * inverse, variance, float(criterion))
