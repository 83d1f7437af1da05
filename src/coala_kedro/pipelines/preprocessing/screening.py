"""Screening: facts are measured scan by scan, then judged together."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from coala_kedro.cohort import NAME, OUTLINED_ROLES, TIMEPOINTS, CohortError
from coala_kedro.imaging.inspection import Facts
from coala_kedro.pipelines.preprocessing.checks import (
    ANATOMY_CHECKS,
    COHORT_CHECKS,
    MASK_CHECKS,
    ORGAN_CHECKS,
    SCAN_CHECKS,
    TABLE_CHECKS,
    Check,
    Screening,
)
from coala_kedro.pipelines.preprocessing.contradictions import (
    against_headers,
    against_masks,
    within_headers,
    within_patients,
)

logger = logging.getLogger(__name__)

FINDINGS = ["scan_id", "code", "severity", "subject", "measured", "limit", "remedy"]
"""Columns of a screening report: one row for each check that a scan failed."""

Inspected = Mapping[str, Any]
Rows = list[dict[str, str]]


def judge_files(
    table: pd.DataFrame,
    inspected: Mapping[str, Inspected],
    scan_files: Collection[str],
    masks: Mapping[str, Collection[str]],
    screening: Screening,
    trained_on: tuple[pd.DataFrame, Mapping[str, Inspected]] | None = None,
) -> pd.DataFrame:
    """Hold every scan's files and the scans beside each other against the checks.

    Args:
        table: A checked scan table.
        inspected: Facts by scan id: `scan`, `masks` by reader, `organ_mask`.
        scan_files: Scan ids that have a file.
        masks: Readers who have a mask, by scan id.
        screening: Limits and severities.
        trained_on: Scan table and facts of a cohort that no patient of this one may be in.

    Returns:
        The findings, `FINDINGS` by row.
    """
    readers = sorted(set().union(*masks.values()))
    rows: Rows = []
    for row in table.to_dict("records"):
        scan_id = row["scan_id"]
        facts: Inspected = inspected.get(scan_id, {"scan": {"no_file": "no file"}})
        beside = against_headers(row, facts["scan"])
        rows += _judge(scan_id, "scans.csv", beside, TABLE_CHECKS, screening)
        told = _judge_scan(scan_id, facts["scan"], screening)
        rows += told
        if _refused(told):
            continue  # Masks are held against the scan.
        rows += _judge(scan_id, "organ mask", facts.get("organ_mask", {}), ORGAN_CHECKS, screening)
        if row["role"] not in OUTLINED_ROLES:
            continue
        if not masks.get(scan_id):
            rows += _judge(scan_id, "readers", {"no_reader": "none"}, COHORT_CHECKS, screening)
            continue
        for reader in readers:
            found: Facts = {"absent": "no file"}
            if reader in masks[scan_id]:
                found = facts.get("masks", {}).get(reader, {})
            rows += _judge(scan_id, f"mask of {reader}", found, MASK_CHECKS, screening)
    strays = (set(scan_files) | set(masks)) - set(table["scan_id"])
    fit = {stray for stray in strays if re.fullmatch(NAME, stray)}
    for stray in sorted(fit):
        rows += _judge(stray, "scans.csv", {"no_row": "no row"}, SCAN_CHECKS, screening)
    if others := len(strays - fit):
        # A path that is no scan id may be somebody's name.
        counted: Facts = {"no_row": f"no row for {others} whose paths are no scan ids"}
        rows += _judge("?", "scans.csv", counted, SCAN_CHECKS, screening)
    for scan_id, found in _beside_each_other(table, inspected, trained_on):
        rows += _judge(scan_id, "cohort", found, COHORT_CHECKS, screening)
    return pd.DataFrame(rows, columns=FINDINGS)


def judge_anatomy(
    table: pd.DataFrame, anatomy: Mapping[str, Facts], screening: Screening
) -> pd.DataFrame:
    """Hold lesions and organs against the checks and the table; columns as `judge_files`."""
    told = {row["scan_id"]: row for row in table.to_dict("records")}
    rows: Rows = []
    for scan_id, facts in anatomy.items():
        beside = against_masks(told.get(scan_id, {}), facts)
        rows += _judge(scan_id, "anatomy", facts | beside, ANATOMY_CHECKS, screening)
    return pd.DataFrame(rows, columns=FINDINGS)


def accept(
    table: pd.DataFrame, findings: pd.DataFrame, cohort: str, screening: Screening
) -> pd.DataFrame:
    """Leave out the refused scans.

    Raises:
        CohortError: A scan is refused and screening is strict, or no scan is left.
    """
    refused = findings[findings["severity"] == "refuse"]
    kept = table[~table["scan_id"].isin(refused["scan_id"])].reset_index(drop=True)
    for row in findings.itertuples():
        logger.warning(
            "%s, scan '%s', %s: %s (%s): %s", cohort, row.scan_id, row.subject, row.code,
            _told(row), row.remedy,
        )  # fmt: skip
    logger.info("%s: %d of %d scans accepted.", cohort, len(kept), len(table))
    if len(refused) and (screening.strict or kept.empty):
        why = "screening.strict is set" if screening.strict else "no scan is left"
        lines = [
            f"- scan '{row.scan_id}', {row.subject}: {row.code} ({_told(row)}): {row.remedy}."
            for row in refused.itertuples()
        ]
        raise CohortError(
            f"Cohort '{cohort}' has {len(lines)} faults, and {why}:\n" + "\n".join(lines)
        )
    return kept


def _told(finding: Any) -> str:
    return "; ".join(filter(None, (finding.measured, finding.limit)))


def _judge_scan(scan_id: str, facts: Facts, screening: Screening) -> Rows:
    rows = _judge(scan_id, "scan", facts | within_headers(facts), SCAN_CHECKS, screening)
    # What the headers tell is why a series cannot be read.
    told = [row for row in rows if row["code"] != "unreadable"]
    return told if _refused(told) else rows


def _refused(rows: Rows) -> bool:
    return any(row["severity"] == "refuse" for row in rows)


def _judge(
    scan_id: str, subject: str, facts: Facts, checks: Iterable[Check], screening: Screening
) -> Rows:
    rows = []
    for check in checks:
        severity = screening.severity.get(check.code, check.severity)
        wrong, limit_name = check.rule
        measured = wrong(facts, screening.limits)
        if measured is None or severity == "ignore":
            continue
        limit = (
            f"{limit_name}: {_shown(getattr(screening.limits, limit_name))}" if limit_name else ""
        )
        found = [scan_id, check.code, severity, subject, _shown(measured), limit]
        rows.append(dict(zip(FINDINGS, [*found, check.remedy], strict=True)))
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _beside_each_other(
    table: pd.DataFrame,
    inspected: Mapping[str, Inspected],
    trained_on: tuple[pd.DataFrame, Mapping[str, Inspected]] | None,
) -> Iterator[tuple[str, Facts]]:
    """Facts that take more than one scan."""
    yield from _patients(table)
    yield from within_patients(table)
    seen: dict[str, list[str]] = {}
    for scan_id in table["scan_id"]:
        seen.setdefault(_voxels(inspected, scan_id), []).append(f"scan '{scan_id}'")
    if trained_on is not None:
        others, facts = trained_on
        for scan_id in others["scan_id"]:
            seen.setdefault(_voxels(facts, scan_id), []).append(f"the other cohort's '{scan_id}'")
        patients = set(others["patient_id"])
        for scan_id, patient in zip(table["scan_id"], table["patient_id"], strict=True):
            if patient in patients:
                yield scan_id, {"patient_in_both_cohorts": f"patient '{patient}'"}
    for scan_id in table["scan_id"]:
        voxels, own = _voxels(inspected, scan_id), f"scan '{scan_id}'"
        if voxels and (copies := [name for name in seen[voxels] if name != own]):
            yield scan_id, {"same_voxels": "as " + ", ".join(copies)}


def _voxels(inspected: Mapping[str, Inspected], scan_id: str) -> str:
    return inspected.get(scan_id, {}).get("scan", {}).get("voxels_sha256", "")


def _patients(table: pd.DataFrame) -> Iterator[tuple[str, Facts]]:
    for _, scans in table.groupby("patient_id"):
        roles = dict(zip(scans["scan_id"], scans["role"], strict=True))
        if "test" in roles.values() and set(roles.values()) != {"test"}:
            listed = ", ".join(f"{scan_id} ({role})" for scan_id, role in roles.items())
            for scan_id in roles:
                yield scan_id, {"patient_in_training_and_test": listed}
        pre, post = (scans.loc[scans["timepoint"] == t, "acquired_on"] for t in TIMEPOINTS)
        if len(pre) and len(post) and post.min() < pre.max():
            told = f"post on {post.min()}, pre on {pre.max()}"
            for scan_id in roles:
                yield scan_id, {"post_before_pre": told}
