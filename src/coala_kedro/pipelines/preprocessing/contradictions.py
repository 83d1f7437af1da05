"""Contradictions between scan table, headers, masks and scans, and within each, in words.

Each names both values. No volume depends on the table, so what contradicts it is a warning. A
hospital that shifts dates or changes sexes to protect its patients sets the `screening.severity` of
these checks to `ignore`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from coala_kedro.cohort import TIMEPOINTS
from coala_kedro.imaging.inspection import Facts

FIRST_CT = datetime.date(1971, 10, 1)
"""Of a patient, in London (Beckmann 2006, Br J Radiol 79:5-8)."""

_YEARS = 1.0
"""Ages are whole years: two that are the same to the day differ by less."""
_DAYS_A_YEAR = 365.25
_MAX_DAYS_OF_THERAPY = 730
"""Therapy between the two scans takes months; scans further apart are not around one."""
_LESIONS_SHARE = 0.5
_DIAMETERS_RATIO, _DIAMETERS_MM = 1.5, 10.0
"""Radiologists count confluent lesions as several, and measure a part of them; the table of another
scan differs more."""

_SPACINGS_MM = 0.1
"""Spacing and positions are rounded in DICOM."""
_GAP = 1.2
"""Slices further apart than so many thicknesses leave tissue out; they may well overlap."""

_AGES = {"header_age_years": "PatientAge", "birth_age_years": "the birth date"}


def within_headers(facts: Facts) -> Facts:
    """Compare what a series' headers say of its slices.

    Args:
        facts: `slice_spacing_mm` as measured; `told_slice_spacing_mm` and `slice_thickness_mm`
            where the headers have them.

    Returns:
        Where they contradict each other `other_slice_spacing`, `slices_apart`.
    """
    found: Facts = {}
    told_mm, thickness_mm, spacing_mm = (
        float(facts.get(f"{name}_mm", 0))
        for name in ("told_slice_spacing", "slice_thickness", "slice_spacing")
    )
    if told_mm and spacing_mm and abs(told_mm - spacing_mm) > _SPACINGS_MM:
        told = f"SpacingBetweenSlices {told_mm:g} mm, positions {spacing_mm:g} mm"
        found["other_slice_spacing"] = told
    if thickness_mm and spacing_mm > thickness_mm * _GAP:
        found["slices_apart"] = f"slices of {thickness_mm:g} mm every {spacing_mm:g} mm"
    return found


def against_headers(row: Mapping[Any, Any], headers: Facts) -> Facts:
    """Compare one scan's row with what its headers say of patient and date.

    Args:
        row: Of the scan table.
        headers: `header_sex`, `header_age_years`, `birth_age_years`, `days_after_table`, where the
            headers have them.

    Returns:
        Where they contradict each other `other_sex`, `other_age`, `other_date`; `impossible_date`
        where there was no CT on that day.
    """
    facts: Facts = {}
    day = row["acquired_on"]
    if not FIRST_CT <= datetime.date.fromisoformat(day) <= datetime.date.today():
        facts["impossible_date"] = f"acquired_on is {day}"
    sex, age_years = _recorded(row, "sex"), _recorded(row, "age_years")
    if sex and headers.get("header_sex", sex) != sex:
        facts["other_sex"] = f"{sex} in the scan table, {headers['header_sex']} in the headers"
    for fact, name in _AGES.items():
        if age_years is not None and abs(float(headers.get(fact, age_years)) - age_years) > _YEARS:
            facts["other_age"] = f"{age_years:g} years in the scan table, {headers[fact]} by {name}"
    if days := int(headers.get("days_after_table", 0)):
        told = f"{abs(days)} days {'later' if days > 0 else 'earlier'}"
        facts["other_date"] = f"{day} in the scan table, {told} in the headers"
    return facts


def against_masks(row: Mapping[Any, Any], anatomy: Facts) -> Facts:
    """Compare one scan's row with its consensus.

    Args:
        row: Of the scan table.
        anatomy: `n_lesions` and `largest_lesion_mm` of an outlined scan.

    Returns:
        Where they contradict each other `other_n_crlm`, `other_diameter`.
    """
    facts: Facts = {}
    told, found = _recorded(row, "n_crlm"), anatomy.get("n_lesions")
    confluent = told is not None and found is not None and found < told
    if told is not None and found is not None:
        allowed = max(1.0, _LESIONS_SHARE * told)
        if abs(told - int(found)) > allowed or bool(told) != bool(found):
            facts["other_n_crlm"] = f"{told:g} in the scan table, {found} in the consensus"
    told, found = _recorded(row, "largest_crlm_diameter_mm"), anatomy.get("largest_lesion_mm")
    if told and found:
        small, large = sorted((float(told), float(found)))
        far_off = large > small * _DIAMETERS_RATIO and large - small > _DIAMETERS_MM
        # Lesions that flow together are one in the consensus, and as long as all of them.
        if far_off and not (confluent and found > told):
            facts["other_diameter"] = (
                f"{told:g} mm in the scan table, {found:g} mm in the consensus"
            )
    return facts


def within_patients(table: pd.DataFrame) -> Iterator[tuple[str, Facts]]:
    """Compare the scans of each patient.

    Args:
        table: The scan table.

    Yields:
        Scan ids, each with those of `sex_changes`, `age_does_not_fit`, `pre_and_post_on_one_day`,
        `years_between_pre_and_post` that its patient's scans show.
    """
    for _, scans in table.groupby("patient_id"):
        facts = _sexes(scans) | _ages(scans) | _days(scans)
        if facts:
            for scan_id in scans["scan_id"]:
                yield scan_id, facts


def between_scans(
    table: pd.DataFrame,
    inspected: Mapping[str, Mapping[str, Any]],
    trained_on: tuple[pd.DataFrame, Mapping[str, Mapping[str, Any]]] | None,
) -> Iterator[tuple[str, Facts]]:
    """Compare the scans of a cohort, and with those of the cohort that models are trained on.

    Args:
        table: The scan table.
        inspected: Facts by scan id; `voxels_sha256` of their `scan` tells copies.
        trained_on: Scan table and facts of the cohort that no patient of this one may be in.

    Yields:
        Scan ids, each with what is wrong; a scan id may come several times.
    """
    yield from _roles_and_dates(table)
    yield from within_patients(table)
    same: dict[str, list[str]] = {}
    for scan_id in table["scan_id"]:
        same.setdefault(_voxels(inspected, scan_id), []).append(f"scan '{scan_id}'")
    if trained_on is not None:
        others, facts = trained_on
        for scan_id in others["scan_id"]:
            same.setdefault(_voxels(facts, scan_id), []).append(f"the other cohort's '{scan_id}'")
        in_both = table[table["patient_id"].isin(others["patient_id"])]
        for scan_id, patient in zip(in_both["scan_id"], in_both["patient_id"], strict=True):
            yield scan_id, {"patient_in_both_cohorts": f"patient '{patient}'"}
    for scan_id in table["scan_id"]:
        voxels, own = _voxels(inspected, scan_id), f"scan '{scan_id}'"
        if voxels and (copies := [name for name in same[voxels] if name != own]):
            yield scan_id, {"same_voxels": "as " + ", ".join(copies)}


def _voxels(inspected: Mapping[str, Mapping[str, Any]], scan_id: str) -> str:
    return inspected.get(scan_id, {}).get("scan", {}).get("voxels_sha256", "")


def _roles_and_dates(table: pd.DataFrame) -> Iterator[tuple[str, Facts]]:
    for _, scans in table.groupby("patient_id"):
        found: list[Facts] = []
        roles = dict(zip(scans["scan_id"], scans["role"], strict=True))
        if "test" in roles.values() and set(roles.values()) != {"test"}:
            listed = ", ".join(f"{scan_id} ({role})" for scan_id, role in roles.items())
            found.append({"patient_in_training_and_test": listed})
        pre, post = (scans.loc[scans["timepoint"] == t, "acquired_on"] for t in TIMEPOINTS)
        if len(pre) and len(post) and post.min() < pre.max():
            found.append({"post_before_pre": f"post on {post.min()}, pre on {pre.max()}"})
        yield from ((scan_id, facts) for facts in found for scan_id in roles)


def _sexes(scans: pd.DataFrame) -> Facts:
    told = _recorded_by_scan(scans, "sex")
    if len(set(told.values())) < 2:
        return {}
    return {"sex_changes": ", ".join(f"{sex} ({scan_id})" for scan_id, sex in told.items())}


def _ages(scans: pd.DataFrame) -> Facts:
    told = _recorded_by_scan(scans, "age_years")
    if not told:
        return {}
    by_scan = scans.set_index("scan_id")["acquired_on"]
    days = {scan_id: datetime.date.fromisoformat(by_scan[scan_id]) for scan_id in told}
    births = {
        scan_id: age_years - (days[scan_id] - FIRST_CT).days / _DAYS_A_YEAR
        for scan_id, age_years in told.items()
    }
    if max(births.values()) - min(births.values()) <= _YEARS:
        return {}
    ages = (f"{age:g} on {by_scan[scan_id]} ({scan_id})" for scan_id, age in told.items())
    return {"age_does_not_fit": ", ".join(ages)}


def _days(scans: pd.DataFrame) -> Facts:
    pre, post = (
        [*map(datetime.date.fromisoformat, scans.loc[scans["timepoint"] == t, "acquired_on"])]
        for t in TIMEPOINTS
    )
    if not pre or not post:
        return {}
    facts: Facts = {}
    if both := {*pre} & {*post}:
        facts["pre_and_post_on_one_day"] = f"pre and post on {min(both)}"
    if (min(post) - max(pre)).days > _MAX_DAYS_OF_THERAPY:
        facts["years_between_pre_and_post"] = f"pre on {max(pre)}, post on {min(post)}"
    return facts


def _recorded_by_scan(scans: pd.DataFrame, column: str) -> dict[str, Any]:
    told = {row["scan_id"]: _recorded(row, column) for row in scans.to_dict("records")}
    return {scan_id: value for scan_id, value in told.items() if value is not None}


def _recorded(row: Mapping[Any, Any], column: str) -> Any:
    """A value of the table; None where it has none."""
    value = row.get(column)
    return None if value is None or pd.isna(value) or value == "" else value
