"""Catalog entries and a scan table for a hospital's folder, and what could not be told."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from coala_kedro.cohort import NAME
from coala_kedro.sources.anonymous import is_anonymous
from coala_kedro.sources.entries import (
    NO_MASKS,
    TOTALSEGMENTATOR,
    Proposal,
    examples,
    found_by,
    scan_table_entry,
    volumes_entry,
)
from coala_kedro.sources.headers import segment_labels
from coala_kedro.sources.scan_table import ClinicalSheet, made_up_scan_ids, propose_scan_table
from coala_kedro.sources.search import pattern_expression
from coala_kedro.sources.survey import (
    LESION,
    UNREADABLE,
    Layout,
    Survey,
    generalise,
    lesion_labels,
    survey,
)
from coala_kedro.spreadsheet import harmless

_ANY_LESION = f"(?i){LESION.pattern}"


def propose(
    name: str,
    folder: Path,
    cohort: str,
    role: str,
    sheet: pd.DataFrame | None = None,
    description: ClinicalSheet | None = None,
    *,
    pseudonyms: bool = False,
    taken: Collection[str] = (),
) -> Proposal:
    """Look at a hospital's folder and propose how to bring it.

    Args:
        name: Of the hospital and of its environment, `conf/<name>`.
        folder: Absolute path.
        cohort: Which of the study's cohorts it is.
        role: Of its scans.
        sheet: A clinical sheet.
        description: How that is read.
        pseudonyms: Whether to make up scan ids. They are also made up where what the paths tell
            cannot be scan ids. Nothing that is told or written then holds a name of a file, a
            folder or a segment, but for the file that keeps whose the scan ids are.
        taken: Patient ids of other hospitals.

    Raises:
        ValueError: There is no CT below the folder, or nothing tells its scans apart.
    """
    found = survey(folder)
    layout = generalise(found.series or found.scans)
    ids = layout.scan_ids.values() if layout else ()
    proposal = Proposal(hides_names=pseudonyms or not all(re.fullmatch(NAME, i) for i in ids))
    _tell(found, folder, proposal)
    scans = _scans(found, layout, folder, proposal)
    entries = proposal.entries
    entries[f"{cohort}.scan_table"] = scan_table_entry(name, cohort)
    entries[f"{cohort}.raw_scans"] = volumes_entry(
        folder, proposal.pattern(scans), "dicom_series" if found.series else "volume"
    )
    masks, n_crlm = _masks(found, folder, scans, role, proposal)
    entries[f"{cohort}.raw_reader_masks"] = masks
    entries[f"{cohort}.organ_segmenter"] = _organs(found, folder, scans, proposal)
    table = propose_scan_table(scans.scan_ids, folder, role, n_crlm, sheet, description, taken)
    _name_scans(table, f"data/01_raw/{name}/{cohort}/pseudonyms.csv", scans, proposal)
    if proposal.hides_names and not is_anonymous(str(folder)):
        proposal.link(folder, f"data/01_raw/{name}/{cohort}/source")
    _tell_gaps(table, bool(found.series), proposal)
    proposal.files[f"data/01_raw/{name}/{cohort}/scans.csv"] = harmless(table).to_csv(index=False)
    return proposal


def _name_scans(table: pd.DataFrame, file: str, scans: Layout, proposal: Proposal) -> None:
    """Make scan ids up where names are hidden; a file keeps whose they are."""
    if proposal.hides_names:
        made_up = made_up_scan_ids(table)
        made_up["found"] = made_up["found"].map(found_by(proposal.pattern(scans), scans))
        proposal.files[file] = harmless(made_up).to_csv(index=False)
        table["scan_id"] = made_up["scan_id"]
        for entry in proposal.entries.values():
            if "pattern" in entry:
                entry["pseudonyms"] = file
        proposal.found.append(f"scan ids were made up; {file} keeps whose they are: guard it")
    else:
        proposal.untold.append(
            f"Whether scan ids such as {table['scan_id'].iloc[0]} are pseudonyms: they come from "
            "the paths and appear in every report. If not, delete what was written and add "
            "--pseudonyms."
        )


def _tell(found: Survey, folder: Path, proposal: Proposal) -> None:
    counts = {
        "CT series (DICOM)": len(found.series),
        "segmentations (DICOM)": len(found.segmentations),
        "structure sets (DICOM)": len(found.structures),
        "CT volumes": len(found.scans),
        "masks": len(found.masks),
        "label files of several structures": len(found.organs),
    }
    proposal.found += [f"{number} {what}" for what, number in counts.items() if number]
    if found.labels:
        labels = ", ".join(f"{label} ({n})" for label, n in sorted(found.labels.items()))
        labels = f"{len(found.labels)} labels" if proposal.hides_names else labels
        proposal.found.append(f"segments: {labels}")
    others = ", ".join(f"{n} {what}" for what, n in sorted(found.others.items()))
    if UNREADABLE in found.others:
        others += (
            f" (make them readable and run this again; `find {folder} ! -readable` tells them)"
        )
    if not found.series and not found.scans:
        raise ValueError(
            f"There is no CT below {folder}: no DICOM series and no volume in HU"
            + (f", but {others}." if others else ".")
        )
    if others:
        proposal.untold.append(f"What these are, and they are left out: {others}.")


def _scans(found: Survey, layout: Layout | None, folder: Path, proposal: Proposal) -> Layout:
    paths = found.series or found.scans
    if found.series and found.scans:
        proposal.untold.append(
            f"Whether the {len(found.scans)} CT volumes are the same scans as the series: the "
            "series are proposed."
        )
    if layout is None:
        raise ValueError(
            f"No part of the paths tells the scans below {folder} apart: "
            f"{proposal.shown(paths)}. Have a folder or file name for each scan."
        )
    proposal.found.append(f"scans: {proposal.shown(layout.scan_ids.values())}")
    return layout


def _masks(
    found: Survey, folder: Path, scans: Layout, role: str, proposal: Proposal
) -> tuple[dict[str, Any], dict[str, int]]:
    """The entry of the readers' masks, and how many lesions each scan's segmentation has."""
    named = found.segmentations or found.structures
    paths = named or found.masks
    if not paths:
        if role != "unlabelled":
            proposal.untold.append(
                "Where the readers' masks are: none was found. Write the entry raw_reader_masks, "
                "or make the scans' role 'unlabelled'."
            )
        return NO_MASKS, {}
    layout = generalise(paths, scans, readers=not named)
    if layout is None:
        proposal.untold.append(
            f"Which mask is which scan's: {proposal.shown(paths)}. Write the entry "
            f"raw_reader_masks; the scans' pattern is '{proposal.pattern(scans)}'."
        )
        return NO_MASKS, {}
    if not named:
        return _mask_volumes(layout, [*found.scans, *found.organs], folder, proposal), {}
    return _segments(found, folder, layout, proposal)


def _segments(
    found: Survey, folder: Path, layout: Layout, proposal: Proposal
) -> tuple[dict[str, Any], dict[str, int]]:
    """As `_masks`, of files that hold several outlines by name."""
    mask_pattern = proposal.pattern(layout)
    pattern = _lesion_pattern(found, proposal)
    if not pattern:
        proposal.untold.append(
            f"Which segments are lesions: {_labels(found, proposal)}. Write a regular "
            "expression for them into `segments` of raw_reader_masks."
        )
    format = "dicom_seg" if found.segmentations else "rtstruct"
    entry = volumes_entry(folder, mask_pattern, format)
    if "{reader}" in mask_pattern:
        entry["segments"] = pattern or "???"
        return entry, {}
    entry["segments"] = {"reader_1": pattern or "???"}
    several = Counter(layout.scan_ids.values())
    if len(several) < len(layout.scan_ids):
        twice = [scan_id for scan_id, n in several.items() if n > 1]
        proposal.untold.append(
            f"Which of the segmentations of {proposal.shown(twice)} to take, or whose they "
            f"are: '{mask_pattern}' fits several. Narrow it, or let {{reader}} tell them apart."
        )
    elif pattern:
        proposal.untold.append(
            f"Whether the segments '{pattern}' are one reader's, as is assumed: if not, give each "
            "reader an expression in `segments` of raw_reader_masks."
        )
    if not found.segmentations:
        return entry, {}
    return entry, {i: _n_lesions(folder / path) for path, i in layout.scan_ids.items()}


def _mask_volumes(
    layout: Layout, others: Collection[str], folder: Path, proposal: Proposal
) -> dict[str, Any]:
    """The entry of masks that are volumes, so that it takes none of the others for a mask."""
    fits = pattern_expression(layout.pattern)
    if "reader" in fits.groupindex and any(map(fits.fullmatch, others)):
        readers = {match["reader"] for path in layout.scan_ids if (match := fits.fullmatch(path))}
        if len(readers) > 1:
            proposal.untold.append(
                f"Which folders are readers': '{proposal.pattern(layout)}' fits volumes that are "
                "no masks too. Put those of the readers into one, and write the entry "
                "raw_reader_masks."
            )
            return NO_MASKS
        pattern = layout.pattern.replace("{reader}", readers.pop())
        layout = dataclasses.replace(layout, pattern=pattern)
    entry = volumes_entry(folder, proposal.pattern(layout), "volume")
    if "{reader}" not in entry["pattern"]:
        entry["values"] = {"reader_1": [1, 255]}
        proposal.untold.append(
            "Who outlined the masks: they are taken for one reader's, who is called so in `values` "
            "of raw_reader_masks. If several did, let {reader} in the pattern tell them apart."
        )
    return entry


def _lesion_pattern(found: Survey, proposal: Proposal) -> str:
    pattern = lesion_labels(found.labels)
    return _ANY_LESION if pattern and proposal.hides_names else pattern


def _labels(found: Survey, proposal: Proposal) -> str:
    return proposal.shown(found.labels) if proposal.hides_names else ", ".join(sorted(found.labels))


def _n_lesions(path: Path) -> int:
    return sum(bool(LESION.fullmatch(label)) for label in segment_labels(path))


def _organs(found: Survey, folder: Path, scans: Layout, proposal: Proposal) -> dict[str, Any]:
    layout = generalise(found.organs, scans) if found.organs else None
    if layout is None:
        proposal.found.append("organs: TotalSegmentator will outline them; it needs its weights")
        return TOTALSEGMENTATOR
    proposal.untold.append(
        "Whether the label files are in TotalSegmentator's class ids, as is assumed: if not, give "
        "each organ's `values` in organ_segmenter; and if one is the lesion, give `values` in "
        "raw_reader_masks."
    )
    where = {"path": str(folder), "pattern": proposal.pattern(layout)}
    return TOTALSEGMENTATOR | {"segmenter": "existing_masks"} | where


def _tell_gaps(table: pd.DataFrame, dicom: bool, proposal: Proposal) -> None:
    for column, remedy in (
        ("timepoint", "write 'pre' or 'post' (systemic therapy)"),
        ("acquired_on", "write the date of the scan, YYYY-MM-DD"),
    ):
        empty = int((table[column] == "").sum())
        if empty:
            proposal.untold.append(
                f"{column} of {empty} of {len(table)} scans: {remedy} into scans.csv."
            )
    if absent := table.attrs["not_in_sheet"]:
        whose = table.iloc[absent]
        proposal.untold.append(
            f"What the clinical sheet lacks: it has no row for {len(absent)} of {len(table)} scans "
            f"({', '.join(examples(whose['patient_id'] + ': ' + whose['scan_id']))}), which keep "
            "what their headers say."
        )
    if not dicom:
        proposal.untold.append(
            "Which scans are one patient's: each has a patient_id of its own in scans.csv. Give "
            "scans of one patient the same."
        )
    dated = table[table["acquired_on"] != ""]
    same_day = dated.duplicated(["patient_id", "acquired_on"], keep=False)
    if dicom and same_day.any():
        several = examples(dated.loc[same_day, "scan_id"])
        proposal.untold.append(
            f"Which series is the portal-venous CT of {', '.join(several)}: "
            "there are several of one patient and day, and each is a scan of its own now. Narrow "
            "the pattern, or drop rows."
        )
