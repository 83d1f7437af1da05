"""Who the patients of a cohort are, as in the paper's Table 1, and what became of their scans."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from coala_kedro.cohort import OUTLINED_ROLES, ROLES, TIMEPOINTS

_SEXES = {"female": "F", "male": "M"}
_THERAPY = dict(zip(("before", "after"), TIMEPOINTS, strict=True))
_AVERAGES = {
    "Age, years, mean (SD)": "age_years",
    "CRLM per patient, mean (SD)": "n_crlm",
    "Largest CRLM diameter, mm, mean (SD)": "largest_crlm_diameter_mm",
}


def table_1(scan_table: pd.DataFrame) -> pd.DataFrame:
    """Describe a cohort as the paper's Table 1 does.

    A patient counts once: sex, age, number of CRLM and largest diameter are those of the patient's
    earliest scan that records them. Shares are of the patients or scans with a value, SDs those of
    a sample (n - 1); patients without a value are counted beside the figure.

    Args:
        scan_table: A checked scan table (`cohort.check_scan_table`); optional columns may be
            missing or empty.

    Returns:
        Text: columns `characteristic` and `value`, the same rows for every cohort.
    """
    patients, figures = _patients(scan_table), cohort_figures(scan_table)

    def recorded(text: str, column: str) -> str:
        known = _recorded(patients, column)
        missing = len(patients) - len(known)
        if known.empty:
            return "not recorded"
        return f"{text}; {missing} not recorded" if missing else text

    def count(name: str) -> str:
        return f"{figures[f'n_{name}']:.0f}"

    def share(name: str) -> str:
        return f"{count(name)} ({figures[f'percent_{name}']:.0f}%)"

    def average(column: str) -> str:
        sd = "–" if math.isnan(figures[f"{column}_sd"]) else f"{figures[f'{column}_sd']:.1f}"
        return f"{figures[f'{column}_mean']:.1f} ({sd})"

    rows = {"Scans": count("scans"), "Patients": count("patients")}
    rows |= {f"Scans, {role}": count(role) for role in ROLES}
    rows |= {f"Sex, {sex}, n (%)": recorded(share(sex), "sex") for sex in _SEXES}
    rows |= {label: recorded(average(column), column) for label, column in _AVERAGES.items()}
    for word, timepoint in _THERAPY.items():
        text = share(timepoint) if len(scan_table) else "not recorded"
        rows[f"Scans {word} systemic therapy, n (%)"] = text
    return pd.DataFrame({"characteristic": list(rows), "value": list(rows.values())})


def cohort_figures(scan_table: pd.DataFrame) -> dict[str, float]:
    """The figures of `table_1` and a few of the paper's text as numbers, by name.

    Args:
        scan_table: As `table_1` takes it.

    Returns:
        `n_*` are counts, `percent_*` shares of the patients or scans with a value, `*_mean` and
        `*_sd` (n - 1) over patients; `n_crlm` is the sum over scans. NaN where nothing is recorded.
    """
    patients = _patients(scan_table)
    outlined = scan_table[scan_table["role"].isin(OUTLINED_ROLES)]
    figures: dict[str, float] = {
        "n_scans": len(scan_table),
        "n_patients": len(patients),
        "n_crlm": _recorded(scan_table, "n_crlm").sum(min_count=1),
        "n_outlined": len(outlined),
        "n_outlined_patients": outlined["patient_id"].nunique(),
        "n_outlined_crlm": _recorded(outlined, "n_crlm").sum(min_count=1),
    }
    for role in ROLES:
        scans = scan_table[scan_table["role"] == role]
        figures[f"n_{role}"] = len(scans)
        figures[f"n_{role}_patients"] = scans["patient_id"].nunique()
    sex, timepoint = _recorded(patients, "sex"), scan_table["timepoint"]
    groups = {name: sex == code for name, code in _SEXES.items()}
    groups |= {name: timepoint == name for name in TIMEPOINTS}
    for name, belongs in groups.items():
        figures[f"n_{name}"] = belongs.sum() if len(belongs) else math.nan
        figures[f"percent_{name}"] = 100 * belongs.mean()
    for column in _AVERAGES.values():
        values = _recorded(patients, column)
        figures |= {f"{column}_mean": values.mean(), f"{column}_sd": values.std()}
    return {name: float(value) for name, value in figures.items()}


def _patients(scan_table: pd.DataFrame) -> pd.DataFrame:
    """Each patient's earliest values that are recorded."""
    return scan_table.sort_values("acquired_on", kind="stable").groupby("patient_id").first()


def _recorded(patients: pd.DataFrame, column: str) -> pd.Series:
    return patients[column].dropna() if column in patients else pd.Series(dtype=float)


def cohort_flow(
    scan_table: pd.DataFrame,
    accepted_scans: pd.DataFrame,
    screening: pd.DataFrame,
    scored: Iterable[str],
    pseudo_labelled: Iterable[str],
) -> pd.DataFrame:
    """Count what became of a cohort's scans, from the table to the tests.

    Args:
        scan_table: All scans that came in: `scan_id`, `patient_id`.
        accepted_scans: Those that the study uses, with their `role`.
        screening: Findings: `scan_id`, `code`, `severity`; a refused scan may have several.
        scored: Scans that have results.
        pseudo_labelled: Scans whose pseudo-label was accepted for training.

    Returns:
        `step, n_scans, n_patients`: `came in`, `refused`, a `refused: <code>` for each reason (a
        scan with two is in both), `used`, each role, `pseudo-labelled` and `tested`.
    """
    ids = scan_table["scan_id"]
    used = accepted_scans["scan_id"]
    refusals = screening[screening["severity"] == "refuse"]
    steps: dict[str, pd.Series] = {"came in": ids, "refused": ids[~ids.isin(used)]}
    for code, findings in refusals.groupby("code", sort=True):
        steps[f"refused: {code}"] = findings["scan_id"]
    steps["used"] = used
    for role in ROLES:
        steps[role] = accepted_scans.loc[accepted_scans["role"] == role, "scan_id"]
    steps["pseudo-labelled"] = used[used.isin(list(pseudo_labelled))]
    steps["tested"] = used[used.isin(list(scored))]
    patient = scan_table.set_index("scan_id")["patient_id"]
    rows = [
        (step, scans.nunique(), patient.reindex(scans.unique()).nunique())
        for step, scans in steps.items()
    ]
    return pd.DataFrame(rows, columns=["step", "n_scans", "n_patients"])
