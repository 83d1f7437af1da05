"""Screening: facts that were measured scan by scan are judged together."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from coala_kedro.cohort import NAME, OUTLINED_ROLES, CohortError
from coala_kedro.imaging.inspection import Facts
from coala_kedro.pipelines.preprocessing.checks import CHECKS, Limits, Screening
from coala_kedro.pipelines.preprocessing.contradictions import (
    against_headers,
    against_masks,
    between_scans,
    within_headers,
)

logger = logging.getLogger(__name__)

FINDINGS = ["scan_id", "code", "severity", "subject", "measured", "limit", "remedy"]
"""Columns of a screening report: one row for each check that a scan failed."""

_EXPECTED_PHASE = "portal_venous"

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
    """Judge every scan's files, and the scans beside each other.

    Args:
        table: A checked scan table.
        inspected: Facts by scan id: `scan`, `masks` by reader, `organ_mask`.
        scan_files: Scan ids that have a file.
        masks: Readers who have a mask, by scan id.
        screening: Limits and severities.
        trained_on: Scan table and facts of a cohort that no patient of this one may be in.

    Returns:
        A row a finding, with the columns `FINDINGS`.
    """
    readers = sorted(set().union(*masks.values()))
    rows: Rows = []
    for row in table.to_dict("records"):
        facts = inspected.get(row["scan_id"], {"scan": {"no_file": "no file"}})
        rows += _judge_scan(row, facts, masks.get(row["scan_id"], ()), readers, screening)
    strays = (set(scan_files) | set(masks)) - set(table["scan_id"])
    scan_ids = {stray for stray in strays if re.fullmatch(NAME, stray)}
    no_rows = [(scan_id, "no row") for scan_id in sorted(scan_ids)]
    if others := len(strays - scan_ids):
        # A path that is no scan id may be somebody's name.
        no_rows.append(("?", f"no row for {others} whose paths are no scan ids"))
    for scan_id, measured in no_rows:
        rows += _judge(scan_id, "scans.csv", {"no_row": measured}, "scan", screening)
    for scan_id, found in between_scans(table, inspected, trained_on):
        rows += _judge(scan_id, "cohort", found, "cohort", screening)
    return pd.DataFrame(rows, columns=FINDINGS)


def judge_anatomy(
    table: pd.DataFrame, anatomy: Mapping[str, Facts], screening: Screening
) -> pd.DataFrame:
    """Judge where lesions and organs lie, also against the scan table.

    Args:
        table: The scan table.
        anatomy: Facts by scan id, see `imaging.inspection.inspect_anatomy`.
        screening: Limits and severities.

    Returns:
        A row a finding, with the columns `FINDINGS`.
    """
    by_scan = {row["scan_id"]: row for row in table.to_dict("records")}
    rows: Rows = []
    for scan_id, facts in anatomy.items():
        found = facts | against_masks(by_scan.get(scan_id, {}), facts)
        found |= _misplacements(facts) | _other_phase(facts, screening.limits)
        rows += _judge(scan_id, "anatomy", found, "anatomy", screening)
    return pd.DataFrame(rows, columns=FINDINGS)


def accept(
    table: pd.DataFrame, findings: pd.DataFrame, cohort: str, screening: Screening
) -> pd.DataFrame:
    """Leave out the refused scans.

    Args:
        table: The scan table.
        findings: As `judge_files` or `judge_anatomy` returns them; each is logged.
        cohort: Its name, for messages.
        screening: Limits and severities.

    Returns:
        The rows of the scans that are not refused.

    Raises:
        CohortError: A scan is refused and screening is strict, or no scan is left.
    """
    refused = findings[findings["severity"] == "refuse"]
    kept = table[~table["scan_id"].isin(refused["scan_id"])].reset_index(drop=True)
    for row in findings.itertuples():
        logger.warning(
            "%s, scan '%s', %s: %s (%s): %s", cohort, row.scan_id, row.subject, row.code,
            _measured_and_limit(row), row.remedy,
        )  # fmt: skip
    logger.info("%s: %d of %d scans accepted.", cohort, len(kept), len(table))
    if len(refused) and (screening.strict or kept.empty):
        why = "screening.strict is set" if screening.strict else "no scan is left"
        lines = [
            f"- scan '{row.scan_id}', {row.subject}: {row.code} ({_measured_and_limit(row)}): "
            f"{row.remedy}."
            for row in refused.itertuples()
        ]
        raise CohortError(
            f"Cohort '{cohort}' has {len(lines)} faults, and {why}:\n" + "\n".join(lines)
        )
    return kept


def _measured_and_limit(finding: Any) -> str:
    return "; ".join(filter(None, (finding.measured, finding.limit)))


def _judge_scan(
    row: Mapping[Any, Any],
    facts: Inspected,
    outlined_by: Collection[str],
    readers: Iterable[str],
    screening: Screening,
) -> Rows:
    """Findings of one scan's row, file and masks; masks only where the scan is not refused."""
    scan_id, scan = row["scan_id"], facts["scan"]
    rows = _judge(scan_id, "scans.csv", against_headers(row, scan), "table", screening)
    of_scan = _judge(scan_id, "scan", scan | within_headers(scan), "scan", screening)
    # Where the headers say why a series cannot be read, that it is unreadable says no more.
    explained = [finding for finding in of_scan if finding["code"] != "unreadable"]
    if _refused(of_scan):
        return rows + (explained if _refused(explained) else of_scan)
    rows += of_scan
    rows += _judge(scan_id, "organ mask", facts.get("organ_mask", {}), "organs", screening)
    if row["role"] not in OUTLINED_ROLES:
        return rows
    if not outlined_by:
        return rows + _judge(scan_id, "readers", {"no_reader": "none"}, "cohort", screening)
    for reader in readers:
        found: Facts = {"absent": "no file"}
        if reader in outlined_by:
            found = dict(facts.get("masks", {}).get(reader, {}))
            found["mask_values"] = found.get("mask_values") or found.get("values") or "1"
        rows += _judge(scan_id, f"mask of {reader}", found, "mask", screening)
    return rows


def _refused(rows: Rows) -> bool:
    return any(row["severity"] == "refuse" for row in rows)


def _misplacements(facts: Facts) -> Facts:
    """How far organs lie from their places, by the axes that would have to be turned."""
    axes = str(facts.get("turned_axes", "")).split(", ")
    return {f"{axis}_mm": facts["misplacement_mm"] for axis in axes if axis}


def _other_phase(facts: Facts, limits: Limits) -> Facts:
    """The contrast phase where it is another than the study's, or uncertain."""
    phase = facts.get("contrast_phase", _EXPECTED_PHASE)
    probability = float(facts.get("contrast_phase_probability", 1))
    if phase == _EXPECTED_PHASE and probability >= limits.min_phase_probability:
        return {}
    return {"other_phase": f"{phase} ({probability:.1f})"}


def _judge(scan_id: str, subject: str, facts: Facts, of: str, screening: Screening) -> Rows:
    """Findings of the checks of one kind."""
    rows = []
    for check in CHECKS:
        measured = check.measured(facts, screening.limits) if check.of == of else None
        severity = screening.severity_of(check)
        if measured is None or severity == "ignore":
            continue
        limit = check.limit and f"{check.limit}: {_shown(getattr(screening.limits, check.limit))}"
        found = [scan_id, check.code, severity, subject, _shown(measured), limit, check.remedy]
        rows.append(dict(zip(FINDINGS, found, strict=True)))
    return rows


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
