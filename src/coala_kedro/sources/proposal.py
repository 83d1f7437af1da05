"""Catalog entries and a scan table for a hospital's folder, and what is to be checked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from coala_kedro.cohort import NAME
from coala_kedro.sources.entries import NO_MASKS, TOTALSEGMENTATOR, Entry, Proposal, examples
from coala_kedro.sources.patterns import Layout, generalise, pattern_expression
from coala_kedro.sources.proposed_table import (
    ClinicalSheet,
    made_up_scan_ids,
    propose_scan_table,
)
from coala_kedro.sources.survey import LESION, UNREADABLE, Survey, lesion_labels, survey
from coala_kedro.spreadsheet import harmless


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
    """Survey a hospital's folder and propose catalog entries and a scan table.

    Args:
        name: Of the hospital and of its environment, `conf/<name>`.
        folder: Absolute path.
        cohort: Which of the study's cohorts it is.
        role: Of its scans.
        sheet: A clinical sheet.
        description: How that is read.
        pseudonyms: Whether to make up scan ids. They are also made up where what the paths tell
            cannot be scan ids. Nothing that is shown or written then holds a name of a file, a
            folder or a segment, but for the file that keeps whose the scan ids are.
        taken: Patient ids of other hospitals.

    Raises:
        ValueError: There is no CT below the folder, or nothing tells its scans apart.
    """
    found = survey(folder)
    paths = found.series or found.scans
    scans = generalise(paths)
    ids = scans.scan_ids.values() if scans else ()
    hides_names = pseudonyms or not all(re.fullmatch(NAME, i) for i in ids)
    proposal = Proposal(folder, f"data/01_raw/{name}/{cohort}", hides_names)
    _describe(found, proposal)
    if scans is None:
        raise ValueError(
            f"No part of the paths tells the scans below {folder} apart: "
            f"{proposal.shown(paths)}. Have a folder or file name for each scan."
        )
    proposal.found.append(f"scans: {proposal.shown(ids)}")
    masks, n_crlm = _masks(found, scans, role, proposal)
    proposal.entries = {
        f"{cohort}.scan_table": proposal.scan_table(),
        f"{cohort}.raw_scans": proposal.volumes(
            scans, "dicom_series" if found.series else "volume"
        ),
        f"{cohort}.raw_reader_masks": masks,
        f"{cohort}.organ_segmenter": _organs(found, scans, proposal),
    }
    table = propose_scan_table(scans.scan_ids, folder, role, n_crlm, sheet, description, taken)
    _name_scans(table, scans, proposal)
    _check_table(table, bool(found.series), proposal)
    proposal.files[f"{proposal.place}/scans.csv"] = harmless(table).to_csv(index=False)
    return proposal


def _describe(found: Survey, proposal: Proposal) -> None:
    """Note what was found.

    Raises:
        ValueError: There is no CT.
    """
    kinds = {
        "CT series (DICOM)": found.series,
        "segmentations (DICOM)": found.segmentations,
        "structure sets (DICOM)": found.structures,
        "CT volumes": found.scans,
        "masks": found.masks,
        "label files of several structures": found.organs,
    }
    proposal.found += [f"{len(paths)} {what}" for what, paths in kinds.items() if paths]
    if labels := found.labels:
        listed = ", ".join(f"{label} ({n})" for label, n in sorted(labels.items()))
        listed = f"{len(labels)} labels" if proposal.hides_names else listed
        proposal.found.append(f"segments: {listed}")
    others = ", ".join(f"{n} {what}" for what, n in sorted(found.others.items()))
    if UNREADABLE in found.others:
        find = f"`find {proposal.folder} ! -readable` lists them"
        others += f" (make them readable and run this again; {find})"
    if not found.series and not found.scans:
        raise ValueError(
            f"There is no CT below {proposal.folder}: no DICOM series and no volume in HU"
            + (f", but {others}." if others else ".")
        )
    if others:
        proposal.to_check.append(f"What these are, and they are left out: {others}.")
    if found.series and found.scans:
        proposal.to_check.append(
            "Whether the CT volumes are the same scans as the series: the series are proposed."
        )


def _masks(
    found: Survey, scans: Layout, role: str, proposal: Proposal
) -> tuple[Entry, dict[str, int]]:
    """The entry of the readers' masks, and how many lesions each scan's segmentation has."""
    paths = found.segmentations or found.structures or found.masks
    layout = generalise(paths, scans, readers=not found.segments)
    if layout and found.segments:
        return _segments(found, layout, proposal)
    if layout:
        return _mask_volumes(layout, [*found.scans, *found.organs], proposal), {}
    if paths:
        proposal.to_check.append(
            f"Which mask is which scan's: {proposal.shown(paths)}. Write the entry "
            f"raw_reader_masks; the scans' pattern is '{proposal.pattern(scans)}'."
        )
    elif role != "unlabelled":
        proposal.to_check.append(
            "Where the readers' masks are: none was found. Write the entry raw_reader_masks, "
            "or make the scans' role 'unlabelled'."
        )
    return NO_MASKS, {}


def _segments(found: Survey, layout: Layout, proposal: Proposal) -> tuple[Entry, dict[str, int]]:
    """As `_masks`, of files that hold several outlines by name."""
    labels = found.labels
    pattern = lesion_labels(labels)
    if not pattern:
        listed = proposal.shown(labels) if proposal.hides_names else ", ".join(sorted(labels))
        proposal.to_check.append(
            f"Which segments are lesions: {listed}. Write a regular expression for them into "
            "`segments` of raw_reader_masks."
        )
        pattern = "???"  # which does not load
    elif proposal.hides_names:
        pattern = f"(?i){LESION.pattern}"
    entry = proposal.volumes(layout, "dicom_seg" if found.segmentations else "rtstruct")
    entry["segments"] = pattern
    if "{reader}" in entry["pattern"] or not found.segmentations:
        return _of_one_reader(entry, {"segments": pattern}, proposal), {}
    n_crlm = {
        scan_id: sum(bool(LESION.fullmatch(label)) for label in found.segments[path])
        for path, scan_id in layout.scan_ids.items()
    }
    return _of_one_reader(entry, {"segments": pattern}, proposal), n_crlm


def _mask_volumes(masks: Layout, others: Collection[str], proposal: Proposal) -> Entry:
    """The entry of masks that are volumes, so that it takes none of the others for a mask."""
    readers = {*masks.readers}
    if readers and any(map(pattern_expression(masks.pattern).fullmatch, others)):
        if len(readers) > 1:
            proposal.to_check.append(
                f"Which folders are readers': '{proposal.pattern(masks)}' fits volumes that are no "
                "masks too. Put those of the readers into one, and write the entry "
                "raw_reader_masks."
            )
            return NO_MASKS
        masks = dataclasses.replace(masks, pattern=masks.pattern.replace("{reader}", readers.pop()))
    return _of_one_reader(proposal.volumes(masks, "volume"), {"values": [1, 255]}, proposal)


def _of_one_reader(entry: Entry, choice: Entry, proposal: Proposal) -> Entry:
    """An entry of masks with a name for the reader, if its pattern has no {reader}."""
    if "{reader}" in entry["pattern"]:
        return entry
    proposal.to_check.append(
        "Who outlined the masks: they are taken for one reader's, reader_1 in raw_reader_masks. If "
        "several did, let {reader} in the pattern, or `segments` or `values` tell them apart."
    )
    return entry | {option: {"reader_1": value} for option, value in choice.items()}


def _organs(found: Survey, scans: Layout, proposal: Proposal) -> Entry:
    layout = generalise(found.organs, scans)
    if layout is None:
        proposal.found.append("organs: TotalSegmentator will outline them; it needs its weights")
        return TOTALSEGMENTATOR
    proposal.to_check.append(
        "Whether the label files are in TotalSegmentator's class ids, as is assumed: if not, write "
        "each organ's `values` into organ_segmenter, and those of the lesion into raw_reader_masks."
    )
    return proposal.organs(layout)


def _name_scans(table: pd.DataFrame, scans: Layout, proposal: Proposal) -> None:
    """Make scan ids up where names are hidden, and a file that keeps whose they are."""
    if not proposal.hides_names:
        proposal.to_check.append(
            f"Whether scan ids such as {table['scan_id'].iloc[0]} are pseudonyms: they come from "
            "the paths and appear in every report. If not, delete what was written and add "
            "--pseudonyms."
        )
        return
    fits = pattern_expression(proposal.pattern(scans))
    matches = {scan_id: fits.fullmatch(path) for path, scan_id in scans.scan_ids.items()}
    found = {i: "_".join(match.groups()) if match else i for i, match in matches.items()}
    kept = pd.DataFrame({"found": table["scan_id"].map(found), "scan_id": made_up_scan_ids(table)})
    table["scan_id"] = kept["scan_id"]
    file = f"{proposal.place}/pseudonyms.csv"
    proposal.files[file] = harmless(kept).to_csv(index=False)
    proposal.files[f"{proposal.place}/source"] = proposal.folder
    proposal.found.append(f"scan ids were made up; {file} keeps whose they are: guard it")


def _check_table(table: pd.DataFrame, dicom: bool, proposal: Proposal) -> None:
    """Note what is to be filled in or looked at in the scan table."""
    for column, remedy in (
        ("timepoint", "write 'pre' or 'post' (systemic therapy)"),
        ("acquired_on", "write the date of the scan, YYYY-MM-DD"),
    ):
        if empty := int((table[column] == "").sum()):
            proposal.to_check.append(
                f"{column} of {empty} of {len(table)} scans: {remedy} into scans.csv."
            )
    if absent := table.attrs["not_in_sheet"]:
        whose = table.iloc[absent]
        proposal.to_check.append(
            f"What the clinical sheet lacks: it has no row for {len(absent)} of {len(table)} scans "
            f"({examples(whose['patient_id'] + ': ' + whose['scan_id'])}), which keep "
            "what their headers say."
        )
    if not dicom:
        proposal.to_check.append(
            "Which scans are one patient's: each has a patient_id of its own in scans.csv. Give "
            "scans of one patient the same."
        )
    dated = table[table["acquired_on"] != ""]
    same_day = dated.duplicated(["patient_id", "acquired_on"], keep=False)
    if dicom and same_day.any():
        proposal.to_check.append(
            f"Which series is the portal-venous CT of {examples(dated.loc[same_day, 'scan_id'])}: "
            "there are several of one patient and day, and each is a scan of its own now. Narrow "
            "the pattern, or drop rows."
        )
