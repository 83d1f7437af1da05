"""The study's report: what came in, what was refused, and the results."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from coala_kedro.cohort import COHORTS, ROLES
from coala_kedro.report import Section, render

_SCREENING = {
    "scan_id": "scan", "code": "reason", "severity": "severity", "subject": "of",
    "measured": "measured", "limit": "limit", "remedy": "remedy",
}  # fmt: skip
_LESION_FIGURES = ("n_lesions", "sensitivity", "precision", "f1", "false_positives_per_scan")


def write_report(
    table_2: pd.DataFrame,
    lesion_summary: pd.DataFrame,
    organ_metrics: pd.DataFrame,
    **cohorts: pd.DataFrame,
) -> str:
    """Write the report.

    Args:
        table_2: As catalogued.
        lesion_summary: As catalogued.
        organ_metrics: As catalogued.
        cohorts: `<cohort>_scan_table`, `_accepted_scans`, `_screening` and `_table_1` of both.

    Returns:
        HTML of one page.
    """
    sections = [
        Section(
            "The scans",
            "How many scans each cohort brought, how many were refused, and what the rest are "
            "used for.",
            _flow(cohorts),
        ),
        *(_screening(cohort, cohorts[f"{cohort}_screening"]) for cohort in COHORTS),
        *(
            Section(
                f"Table 1: {cohort} cohort", "As in the paper.", cohorts[f"{cohort}_table_1"]
            )
            for cohort in COHORTS
        ),
        Section(
            "Table 2: results", "Teacher beside student on the test scans.", table_2
        ),
        Section(
            "Lesions",
            "Lesions of consensus and model matched one to one from an IoU of 0.1 on; by longest "
            "axial diameter, nearness to the liver's border and contrast to it. 95 % intervals by "
            "bootstrap over patients are in lesion_summary.csv.",
            _lesions(lesion_summary),
        ),
        Section(
            "Structures", "Mean Dice over the test scans that have the structure.",
            _structures(organ_metrics),
        ),
    ]  # fmt: skip
    return render("Self-training for colorectal liver metastases: report of the study", sections)


def _flow(cohorts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = []
    for cohort in COHORTS:
        brought, accepted = cohorts[f"{cohort}_scan_table"], cohorts[f"{cohort}_accepted_scans"]
        by_role = accepted["role"].value_counts()
        rows.append(
            {
                "cohort": cohort,
                "patients": brought["patient_id"].nunique(),
                "scans in the table": len(brought),
                "refused": len(brought) - len(accepted),
                "accepted": len(accepted),
                **{role: int(by_role.get(role, 0)) for role in ROLES},
            }
        )
    return pd.DataFrame(rows)


def _screening(cohort: str, findings: pd.DataFrame) -> Section:
    title = f"Screening: {cohort} cohort"
    if findings.empty:
        return Section(title, "No scan was refused or warned of.")
    refused = findings.loc[findings["severity"] == "refuse", "scan_id"].nunique()
    return Section(
        title,
        f"{refused} scans were refused and are not in the study; a warning keeps its scan in.",
        findings.rename(columns=_SCREENING)[list(_SCREENING.values())],
    )


def _lesions(lesion_summary: pd.DataFrame) -> pd.DataFrame:
    figures = lesion_summary[lesion_summary["metric"].isin(_LESION_FIGURES)]
    index = ["model", "cohort", "subset"]
    wide = figures.pivot(index=index, columns="metric", values="value")
    order = figures[index].drop_duplicates()
    chosen = wide.loc[pd.MultiIndex.from_frame(order), list(_LESION_FIGURES)].reset_index()
    return chosen.rename(columns=lambda name: name.replace("_", " "))


def _structures(organ_metrics: pd.DataFrame) -> pd.DataFrame:
    means = organ_metrics.groupby(["structure", "cohort", "model"], sort=False)["dice"].mean()
    wide = means.unstack(["cohort", "model"])
    wide.columns = [", ".join(column) for column in wide.columns]
    return wide.reset_index()
