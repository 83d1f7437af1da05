"""The paper's figures beside the run's own.

Bereska et al., Insights into Imaging 2024, 15, 279 (10.1186/s13244-024-01820-7): every figure of
Tables 1 and 2 and of the text, with its place and what a careful reader notices, in `paper.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import pandas as pd

from coala_kedro.statistics.cohort_table import cohort_figures

COLUMNS = (
    "figure",
    "cohort",
    "subset",
    "metric",
    "unit",
    "paper",
    "model",
    "run",
    "ci_low",
    "ci_high",
    "place",
    "remark",
    "note",
)
DATA = "data"
"""Stands for a model where a figure is one of the scans."""
_KEYS = ["source", "cohort", "subset", "metric"]


def paper_figures() -> pd.DataFrame:
    """The paper's figures: `figure, cohort, source, subset, metric, value, unit, place, remark`.

    `source` is `cohort` (`metric` is then a name of `cohort_table.cohort_figures`) or `summary`
    (`subset` and `metric` are the summary's).
    """
    with (resources.files("coala_kedro.statistics") / "paper.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype={"value": float}, keep_default_na=False)


def compare_with_paper(
    summary: pd.DataFrame, scan_tables: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Join the paper's figures with the run's.

    Args:
        summary: As `summary.summarise` makes it.
        scan_tables: The accepted scans of each cohort. Every other than `internal` stands beside
            the paper's external one.

    Returns:
        Frame with `COLUMNS`, in the paper's order: one row a figure and model, or one for all
        (`model` is `data`) where it describes the scans. `paper` and `run` are values, `ci_low`
        and `ci_high` the run's. `note` says why a run's figure or interval is NaN.
    """
    figures = paper_figures().rename(columns={"value": "paper"})
    cohorts = {"internal": ["internal"], "external": [c for c in scan_tables if c != "internal"]}
    figures = figures.assign(cohort=figures["cohort"].map(cohorts)).explode("cohort")
    run = pd.concat([_of_cohorts(scan_tables), _of_models(summary)], ignore_index=True)
    joined = figures.merge(run, on=_KEYS, how="left")
    missing = joined["model"].isna()
    joined["note"] = joined["note"].mask(missing, "no test scan in the run")
    return joined.fillna({"model": DATA})[list(COLUMNS)]


def _of_cohorts(scan_tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = [
        ("cohort", cohort, "", metric, DATA, value, "not recorded" if pd.isna(value) else "")
        for cohort, table in scan_tables.items()
        for metric, value in cohort_figures(table).items()
    ]
    return pd.DataFrame(rows, columns=[*_KEYS, "model", "run", "note"])


def _of_models(summary: pd.DataFrame) -> pd.DataFrame:
    known = summary.rename(columns={"value": "run"}).assign(source="summary")
    known["note"] = known["note"].fillna("")  # as a file gives an empty text back
    return known[[*_KEYS, "model", "run", "ci_low", "ci_high", "note"]]
