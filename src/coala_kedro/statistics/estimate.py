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
    """A figure with Student's interval; NaN bounds without degrees of freedom."""
    margin = float(scipy.special.stdtrit(dof, 0.975)) * standard_error if dof > 0 else NAN
    return Estimate(value, value - margin, value + margin)


def mean(values: NDArray[Any]) -> float:
    """The mean; NaN of nothing."""
    return float(values.mean()) if len(values) else NAN


def ratio(part: float, whole: float) -> float:
    """A part over a whole; NaN where the whole is 0."""
    return float(part / whole) if whole else NAN
