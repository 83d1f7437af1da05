"""Confidence intervals that respect patients with several scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MIN_DEFINED = 0.5
"""An interval needs the figure to be defined in at least this share of the resamples."""

Columns = Mapping[str, NDArray[Any]]
"""Scans as one array per column: drawing rows of these is forty times faster than of a frame."""


def patient_bootstrap(
    frame: pd.DataFrame,
    statistic: Callable[[Columns], ArrayLike],
    n_resamples: int,
    seed: int,
    confidence: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile interval from drawing patients, with all their scans, with replacement.

    Scans of one patient resemble each other, so drawing scans gives too narrow an interval: in a
    simulation of 21 scans of 10 patients a nominal 95 % covered 0.81, drawing patients 0.90. (The
    cluster bootstrap of Davison & Hinkley 1997, section 3.8.)

    Args:
        frame: One row per scan, with `patient_id`.
        statistic: One figure or several (any fixed shape) from the frame's columns, given as
            arrays by name; a patient drawn twice has its scans there twice.
        n_resamples: Number of resamples.
        seed: Seed of the draws; frames of the same patients get the same draws.
        confidence: Level of the interval, 0 to 1.

    Returns:
        Lower and upper bound, each of the statistic's shape (a scalar for one figure). Resamples in
        which a figure is NaN are left out of its interval. NaN with fewer than 2 patients, or
        where a figure is defined in less than half of the resamples.

    Raises:
        ValueError: `n_resamples` is below 1, or `confidence` not between 0 and 1.
    """
    if n_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"Expected n_resamples >= 1 and 0 < confidence < 1, got {n_resamples}, {confidence}."
        )
    columns = columns_of(frame)
    patients, patient_of_row = np.unique(columns["patient_id"], return_inverse=True)
    if len(patients) < 2:
        undefined = np.full(np.shape(statistic(columns)), np.nan)[()]
        return undefined, undefined.copy()
    rows_of = [np.flatnonzero(patient_of_row == patient) for patient in range(len(patients))]
    figures = []
    for draw in np.random.default_rng(seed).integers(
        len(patients), size=(n_resamples, len(patients))
    ):
        rows = np.concatenate([rows_of[patient] for patient in draw])
        figures.append(statistic({name: column[rows] for name, column in columns.items()}))
    return _percentiles(np.array(figures, dtype=float), confidence)


def columns_of(frame: pd.DataFrame) -> Columns:
    """The frame's columns as arrays by name."""
    return {str(name): column.to_numpy() for name, column in frame.items()}


def _percentiles(
    figures: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    defined = np.mean(~np.isnan(figures), axis=0) >= MIN_DEFINED
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(np.where(defined, figures, 0.0), [tail, 1 - tail], axis=0)
    return np.where(defined, low, np.nan)[()], np.where(defined, high, np.nan)[()]
