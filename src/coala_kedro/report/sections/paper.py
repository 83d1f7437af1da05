"""The paper's figures beside the run's."""

from __future__ import annotations

from typing import Any

import pandas as pd

from coala_kedro.report.cells import Cell, Estimate, Source, cohort_title
from coala_kedro.report.material import Material
from coala_kedro.report.page import Fold, Section, Table
from coala_kedro.report.tables import rows_of
from coala_kedro.statistics.paper import DATA

_SPECS = {
    "dice": ".2f", "icc": ".2f", "ttv": ",.0f", "welch": "p", "percent": ".0f", "age": ".1f",
    "largest": ".1f", "n_crlm_": ".1f",
}  # fmt: skip
"""By how a metric begins; other figures are shown as they come."""
_REMARKS = {"figure": "figure", "place": "in the paper", "remark": "remark"}


def paper(material: Material) -> Section:
    """Every figure of the paper, and what a careful reader notices."""
    source = material["paper_comparison"]
    of_scans = source.frame["model"] == DATA
    noted = source.frame["remark"].fillna("") != ""
    remarks = source.frame[noted].drop_duplicates("remark")
    return Section(
        "The paper beside the run",
        [
            "Figures of Bereska et al., Insights into Imaging 2024, beside this run's. Other "
            "patients, other scanners, other readers: a difference is not a failure to reproduce.",
            _beside(source, source.frame[~of_scans], material.models, "Results."),
            _beside(source, source.frame[of_scans], [DATA], "Scans and patients."),
            Fold(
                "What a careful reader of the paper notices",
                [
                    Table(
                        "Oddities of the paper, each where it is first met.",
                        [*_REMARKS.values()],
                        rows_of(source, remarks.index, _REMARKS, {}),
                        source.name,
                    )
                ],
            ),
        ],
        short="The paper",
    )


def _beside(source: Source, rows: pd.DataFrame, models: list[str], caption: str) -> Table:
    cohorts = list(rows["cohort"].unique())
    columns = [(cohort, who) for cohort in cohorts for who in ("paper", *models)]
    keys = ["figure", "unit", "subset", "metric"]
    lines = []
    for key, same in rows.fillna({"subset": "", "unit": ""}).groupby(keys, sort=False):
        figure, unit, _, metric = map(str, key)
        spec = _spec(metric)
        named = unit and unit not in figure.lower()
        cells: list[Any] = [f"{figure}, {unit}" if named else figure]
        for cohort, who in columns:
            of_cohort = same[same["cohort"] == cohort]
            chosen = of_cohort if who == "paper" else of_cohort[of_cohort["model"] == who]
            cells.append(_shown(source, chosen, who, spec))
        lines.append(cells)
    headings = [(cohort_title(c), "run" if w == DATA else w) for c, w in columns]
    return Table(caption, ["", *headings], lines, source.name)


def _shown(source: Source, chosen: pd.DataFrame, who: str, spec: str) -> Cell | Estimate:
    if chosen.empty:
        return Cell(None, "", "not given" if who == "paper" else "not compared")
    if who == "paper":
        return source.cell(chosen.index[0], "paper", spec)
    return Estimate(*(source.cell(chosen.index[0], c, spec) for c in ("run", "ci_low", "ci_high")))


def _spec(metric: str) -> str:
    return next((spec for start, spec in _SPECS.items() if metric.startswith(start)), "")
