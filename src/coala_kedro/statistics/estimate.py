"""A figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import scipy
from numpy.typing import NDArray

NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A figure and its two-sided 95 % confidence interval, unrounded; NaN where undefined."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(NAN, NAN, NAN)


def t_estimate(value: float, standard_error: float, dof: float) -> Estimate:
    """A figure with Student's 95 % interval; its bounds are NaN without degrees of freedom.

    Args:
        value: The figure.
        standard_error: Of the figure.
        dof: Degrees of freedom.
    """
    margin = float(scipy.special.stdtrit(dof, 0.975)) * standard_error if dof > 0 else NAN
    return Estimate(value, value - margin, value + margin)


def mean(values: NDArray[Any]) -> float:
    """The mean; NaN of no values.

    Args:
        values: Numbers, of shape (N,).
    """
    return float(values.mean()) if len(values) else NAN


def ratio(part: float, whole: float) -> float:
    """A part over a whole; NaN where the whole is 0.

    Args:
        part: Numerator.
        whole: Denominator.
    """
    return float(part / whole) if whole else NAN
