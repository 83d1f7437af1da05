"""From one row per rater, reference and scan to how readers and models agree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from coala_kedro.statistics.agreement import intraclass_correlation
from coala_kedro.statistics.bootstrap import (
    FIGURE_COLUMNS,
    Columns,
    figures_with_intervals,
    summarise_groups,
)
from coala_kedro.statistics.estimate import NAN, mean, ratio
from coala_kedro.statistics.rater_metrics import READER

COLUMNS = ("rater", "rater_kind", "reference_kind", "cohort", *FIGURE_COLUMNS)
ALL_READERS = "readers"
EACH_OTHER = "each other"

_MEANS = ("dice", "nsd_1mm", "nsd_2mm", "nsd_3mm", "hd95_mm", "assd_mm")
_UNDEFINED = {
    **{f"{name}_mean": "both masks empty in every scan" for name in _MEANS},
    "hd95_mm_median": "both masks empty in every scan",
    "volume_bias_percent": "no lesion in the reference",
    "icc_consistency": "fewer than 3 scans, or volumes that do not vary",
    "icc_agreement": "fewer than 3 scans, or volumes that do not vary",
    "sensitivity": "no lesion in the reference",
    "precision": "no lesion outlined",
    "f1": "no lesion in either",
}


def summarise_raters(reader_metrics: pd.DataFrame, n_resamples: int, seed: int) -> pd.DataFrame:
    """How each rater agrees with other readers and with the consensus of the others.

    Args:
        reader_metrics: `cohort`, `scan_id`, `patient_id`, and the columns of
            `rater_metrics.score_raters`.
        n_resamples: Bootstrap resamples over patients.
        seed: Seed of the bootstrap.

    Returns:
        Tidy frame with `COLUMNS`. `rater` is a reader, a model, or `readers`: all readers
        together. `reference_kind` is as in `reader_metrics`; rows of `readers` against
        `each other` are the ICC of all readers at once, over scans that all of them outlined.
        `note` says why a figure or its interval is NaN.
    """
    groups: dict[tuple[Any, ...], Callable[[], pd.DataFrame]] = {}
    for cohort, rows in reader_metrics.groupby("cohort", sort=False):
        together = rows[rows["rater_kind"] == READER].assign(rater=ALL_READERS)
        readers_first = rows.sort_values("rater_kind", ascending=False, kind="stable")
        everyone = pd.concat([readers_first, together])
        for keys, group in everyone.groupby(list(COLUMNS[:3]), sort=False):
            groups[(*keys, cohort)] = partial(_agreement, group, n_resamples, seed)
        of_readers = partial(_icc_of_readers, rows, n_resamples, seed)
        groups[ALL_READERS, READER, EACH_OTHER, cohort] = of_readers
    return summarise_groups(groups, COLUMNS)


def _figures(rows: Columns) -> dict[str, float]:
    scored = ~np.isnan(rows["dice"])
    means = {f"{name}_mean": mean(rows[name][scored]) for name in _MEANS}
    hd95_mm = rows["hd95_mm"][scored]
    reference, predicted = rows["reference_ml"], rows["predicted_ml"]
    error_ml = predicted - reference
    hits, misses, false_positives = (
        float(rows[name].sum()) for name in ("n_hits", "n_misses", "n_false_positives")
    )
    return means | {
        "hd95_mm_median": float(np.median(hd95_mm)) if len(hd95_mm) else NAN,
        "volume_bias_ml": mean(error_ml),
        "volume_bias_percent": ratio(100 * error_ml.sum(), reference.sum()),
        **intraclass_correlation(np.column_stack([reference, predicted])),
        "sensitivity": ratio(hits, hits + misses),
        "precision": ratio(hits, hits + false_positives),
        "f1": ratio(2 * hits, 2 * hits + misses + false_positives),
        "false_positives_per_scan": ratio(false_positives, len(reference)),
    }


def _agreement(rows: pd.DataFrame, n_resamples: int, seed: int) -> pd.DataFrame:
    return figures_with_intervals(rows, _figures, n_resamples, seed, _UNDEFINED)


def _icc_of_readers(rows: pd.DataFrame, n_resamples: int, seed: int) -> pd.DataFrame:
    """The ICC of all readers' volumes at once."""
    drawn = rows[rows["rater_kind"] == READER]
    volumes = drawn.pivot_table(
        index=["scan_id", "patient_id"], columns="rater", values="predicted_ml"
    )
    readers = [str(reader) for reader in volumes]
    scans = volumes.dropna().reset_index()

    def icc(columns: Columns) -> dict[str, float]:
        return intraclass_correlation(np.column_stack([columns[reader] for reader in readers]))

    return figures_with_intervals(scans, icc, n_resamples, seed, _UNDEFINED)
