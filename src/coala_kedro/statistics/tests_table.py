"""Every test of the study in one frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise

import pandas as pd

from coala_kedro.statistics.comparisons import Test, compare_paired, compare_timepoints
from coala_kedro.statistics.rater_metrics import CONSENSUS_OF_OTHERS, READER

METRICS = (
    *("dice", "nsd_3mm", "volume_error_ml", "absolute_volume_error_ml"),
    *("sensitivity", "n_false_positives"),
)
"""Columns of the metrics, or made of them: sensitivity is that of a scan for its lesions."""
COLUMNS = (
    "comparison",
    "cohort",
    "metric",
    "test",
    "estimate",
    "ci_low",
    "ci_high",
    "effect_size",
    "statistic",
    "p",
    "n_scans",
    "n_patients",
    "note",
)
_SCAN = ["scan_id", "patient_id"]


def compare(
    scan_metrics: pd.DataFrame, reader_metrics: pd.DataFrame, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Test every model after against before therapy, and models against each other and readers.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `scan_id`, `patient_id`,
            `timepoint`, `dice`, `nsd_3mm`, `volume_error_ml`, `n_lesions`, `n_hits`,
            `n_false_positives`.
        reader_metrics: As `rater_metrics.score_raters` has it, with `cohort` and identity columns.
        n_resamples: Bootstrap resamples over patients.
        seed: Seed of the bootstrap.

    Returns:
        Frame with `COLUMNS`. `comparison` reads `<model>: post - pre`, `<model> - <model>` (paired
        by scan, the later model first) or `<model> - readers` (paired by scan: both against the
        consensus of the other readers, readers averaged). `note` says what a test takes for
        granted, or why it is NaN.
    """
    scans = _with_made(scan_metrics)
    raters = reader_metrics if reader_metrics.empty else _with_made(reader_metrics)
    rows: list[tuple[str, str, str, Test]] = []
    for cohort, group in scans.groupby("cohort", sort=False):
        for metric in METRICS:
            rows += [
                (f"{model}: post - pre", str(cohort), metric, test)
                for model, own in group.groupby("model", sort=False)
                for test in compare_timepoints(own, metric)
            ]
            pairs = [*_models(group, metric), *_readers(raters[raters["cohort"] == cohort], metric)]
            rows += [
                (comparison, str(cohort), metric, test)
                for comparison, paired in pairs
                for test in compare_paired(paired, n_resamples, seed)
            ]
    return pd.DataFrame([_row(*row) for row in rows], columns=list(COLUMNS))


def _with_made(metrics: pd.DataFrame) -> pd.DataFrame:
    return metrics.assign(
        absolute_volume_error_ml=metrics["volume_error_ml"].abs(),
        sensitivity=metrics["n_hits"] / metrics["n_lesions"].where(metrics["n_lesions"] > 0),
    )


def _models(scans: pd.DataFrame, metric: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The later model's less the earlier's value of every scan."""
    wide = scans.pivot(index=_SCAN, columns="model", values=metric)
    for earlier, later in pairwise(scans["model"].unique()):
        yield f"{later} - {earlier}", _differences(wide[later] - wide[earlier])


def _readers(raters: pd.DataFrame, metric: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """A model's less the readers' value of every scan, each against the others' consensus."""
    against = raters[raters["reference_kind"] == CONSENSUS_OF_OTHERS]
    if against.empty:
        return
    means = against.groupby(["rater_kind", "rater", *_SCAN], sort=False)[metric].mean()
    readers = means[READER].groupby(_SCAN).mean()
    for (kind, rater), values in means.groupby(["rater_kind", "rater"], sort=False):
        if kind != READER:
            yield f"{rater} - readers", _differences(values.droplevel([0, 1]) - readers)


def _differences(values: pd.Series) -> pd.DataFrame:
    return values.rename("difference").reset_index()


def _row(comparison: str, cohort: str, metric: str, test: Test) -> dict[str, object]:
    told = asdict(test)
    estimate = told.pop("estimate")
    return {
        "comparison": comparison,
        "cohort": cohort,
        "metric": metric,
        **told,
        "estimate": estimate["value"],
        "ci_low": estimate["low"],
        "ci_high": estimate["high"],
    }
