"""Steps that take in a hospital's files: measure them, judge them, write them as plain NIfTI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import SimpleITK as sitk

from coala_kedro.cohort import OUTLINED_ROLES, check_readers, scans_with_role
from coala_kedro.datasets import LazyVolume
from coala_kedro.datasets.grouping import by_scan
from coala_kedro.fingerprint import recipe
from coala_kedro.imaging.dicom_origin import compare_origins
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.inspection import SOFT_TISSUE_HU, Facts, inspect_mask, inspect_scan
from coala_kedro.imaging.lesion_labels import MASK_CONSTANTS
from coala_kedro.imaging.plain_nifti import is_plain_nifti, looks_plain
from coala_kedro.imaging.planes import AIR_HU
from coala_kedro.organs import OrganMaskError, OrganSegmenter
from coala_kedro.pipelines.preprocessing.checks import MASK_CODES, Screening
from coala_kedro.pipelines.preprocessing.screening import Inspected, accept, judge_files
from coala_kedro.sources import SourceVolume

MEASURED_COLUMNS = ("scanner", "slice_thickness_mm")
"""Columns of a scan table that the scans themselves can fill."""


def inspect_scans(
    scan_table: pd.DataFrame,
    raw_scans: Mapping[str, SourceVolume],
    raw_reader_masks: Mapping[str, SourceVolume],
    organ_segmenter: OrganSegmenter,
    cohort: str,
) -> dict[str, Callable[[], Inspected]]:
    """Measure every scan of the table, its readers' masks and its organ mask.

    Args:
        scan_table: As in `scans.csv`.
        raw_scans: CT by scan id, of any format.
        raw_reader_masks: Masks by `<reader>/<scan_id>`.
        organ_segmenter: Where it brings masks, they are looked at.
        cohort: Its name, for messages.

    Returns:
        Recipes by scan id; each makes `{"scan": facts, "masks": {reader: facts}, "organ_mask":
        facts}`.

    Raises:
        CohortError: The scan table cannot be used.
    """
    from coala_kedro.scan_table_schema import check_scan_table

    table = check_scan_table(scan_table, cohort)
    outlined = scans_with_role(table, *OUTLINED_ROLES)
    masks = by_scan(raw_reader_masks)
    check_readers((reader for of_scan in masks.values() for reader in of_scan), cohort)
    return {
        scan_id: partial(
            _inspect,
            raw_scans[scan_id],
            masks.get(scan_id, {}) if scan_id in outlined else {},
            partial(organ_segmenter.check, scan_id),
            made_from=_organ_mask_fingerprint(organ_segmenter, scan_id),
            # Other formats tell no day, so that a mended one makes nothing stale.
            acquired_on=day if raw_scans[scan_id].format == "dicom_series" else "",
        )
        for scan_id, day in zip(table["scan_id"], table["acquired_on"], strict=True)
        if scan_id in raw_scans
    }


def _organ_mask_fingerprint(organ_segmenter: OrganSegmenter, scan_id: str) -> str:
    try:
        return organ_segmenter.fingerprint_for(scan_id)
    except OrganMaskError as error:
        return error.code


@recipe("inspected", version=3, soft_tissue_hu=SOFT_TISSUE_HU)
def _inspect(
    raw_scan: SourceVolume,
    raw_masks: Mapping[str, SourceVolume],
    check_organ_mask: Callable[[sitk.Image], None],
    made_from: str,
    acquired_on: str = "",
) -> Inspected:
    facts: dict[str, Facts] = {}
    with raw_scan.local() as source:
        header: Facts = {}
        try:
            header = source.header_facts(acquired_on)
            origin = source.origin
            scan = source.whole()
        except VolumeError as error:
            return {"scan": header | _refusal(error, source)}
    scan_facts = header | inspect_scan(scan)
    if "n_slices" not in scan_facts:
        return {"scan": scan_facts}  # A mask cannot be held against it.
    for reader, raw_mask in raw_masks.items():
        with raw_mask.local() as source:
            try:
                facts[reader] = compare_origins(source.origin, origin)
                facts[reader] |= inspect_mask(source.on_grid(scan), scan)
            except VolumeError as error:
                facts[reader] = facts.get(reader, {}) | _refusal(error, source, MASK_CODES)
    organ_mask: Facts = {}
    try:
        check_organ_mask(scan)
    except OrganMaskError as error:
        organ_mask = {error.code: str(error)}
    return {"scan": scan_facts, "masks": facts, "organ_mask": organ_mask}


def _refusal(
    error: VolumeError, source: SourceVolume, codes: Mapping[str, str] = MappingProxyType({})
) -> Facts:
    """The error as a fact; without the place, for folders are at times named after patients."""
    return {codes.get(error.code, error.code): str(error).replace(source.title, "the file")}


def accept_scans(
    scan_table: pd.DataFrame,
    raw_scans: Mapping[str, SourceVolume],
    raw_reader_masks: Mapping[str, SourceVolume],
    inspected: Mapping[str, Inspected],
    cohort: str,
    screening: Screening,
    *trained_on: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge what was measured, and leave out the scans that cannot be used.

    Args:
        scan_table: As in `scans.csv`.
        raw_scans: CT by scan id.
        raw_reader_masks: Masks by `<reader>/<scan_id>`.
        inspected: What `inspect_scans` measured.
        cohort: Its name, for messages.
        screening: Limits and severities.
        *trained_on: Of a cohort that is only tested: usable scans and `inspected` of the one that
            is trained on, which must hold none of its patients.

    Returns:
        The scan table of the usable scans, and the findings.

    Raises:
        CohortError: No scan is left, or one is refused and screening is strict.
    """
    from coala_kedro.scan_table_schema import check_scan_table

    table = check_scan_table(scan_table, cohort)
    masks = by_scan(raw_reader_masks)
    findings = judge_files(table, inspected, [*raw_scans], masks, screening, trained_on or None)
    usable = accept(table, findings, cohort, screening)
    for column in MEASURED_COLUMNS:
        measured = usable["scan_id"].map({i: f["scan"].get(column) for i, f in inspected.items()})
        if column not in usable and measured.notna().any():
            usable[column] = measured
    return usable, findings


def import_scans(
    usable_scans: pd.DataFrame, raw_scans: Mapping[str, SourceVolume]
) -> dict[str, Callable[[], sitk.Image | Path]]:
    """Bring every usable scan to one local format.

    Args:
        usable_scans: Scan table.
        raw_scans: CT by scan id, of any format.

    Returns:
        Recipes by scan id; each makes a CT in HU, or names the local NIfTI file that is one and
        whose header holds nothing else.
    """
    return {
        scan_id: partial(
            _import_scan, raw_scans[scan_id], rewritten=_is_rewritten(raw_scans[scan_id])
        )
        for scan_id in usable_scans["scan_id"]
    }


@recipe("scan", air_hu=AIR_HU)
def _import_scan(raw: SourceVolume, *, rewritten: bool = False) -> sitk.Image | Path:
    return _plain_file(raw) or raw.whole()


def _is_rewritten(raw: SourceVolume) -> bool:
    """Whether a local NIfTI is not linked, as version 0.1.0 linked all of them."""
    try:
        return bool(raw.local_nifti and not (raw.file and looks_plain(raw.file)))
    except OSError:
        return False  # Screening says so.


def _plain_file(raw: SourceVolume) -> Path | None:
    """The file, if nothing in it or in its path may tell who somebody is; else None."""
    return raw.file if raw.file and is_plain_nifti(raw.file) else None


def import_masks(
    usable_scans: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    raw_reader_masks: Mapping[str, SourceVolume],
) -> dict[str, Callable[[], dict[str, sitk.Image | Path]]]:
    """Bring the readers' masks of every outlined scan to its grid and to one local format.

    Args:
        usable_scans: Scan table.
        scans: CT by scan id.
        raw_reader_masks: Masks by `<reader>/<scan_id>`, of any format.

    Returns:
        Recipes by scan id; each makes a mask, or names the file that is one, per reader.
    """
    masks = by_scan(raw_reader_masks)
    return {
        scan_id: partial(
            _import_masks,
            scans[scan_id],
            masks[scan_id],
            rewritten=any(map(_is_rewritten, masks[scan_id].values())),
        )
        for scan_id in scans_with_role(usable_scans, *OUTLINED_ROLES)
    }


@recipe("reader_masks", **MASK_CONSTANTS)
def _import_masks(
    scan: LazyVolume, raw_masks: Mapping[str, SourceVolume], *, rewritten: bool = False
) -> dict[str, sitk.Image | Path]:
    grid = scan.grid()
    return {
        # On the scan's grid already, or screening had refused the scan.
        reader: (None if raw.resample else _plain_file(raw)) or raw.on_grid(grid)
        for reader, raw in raw_masks.items()
    }
