"""The cohort's files against its table: everything that is wrong, said at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import pandas as pd
from joblib import Parallel, delayed
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from coala_kedro.cohort import OUTLINED_ROLES, CohortError, check_scan_table
from coala_kedro.datasets import LazyVolume
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.screening import mask_faults, scan_faults


class Screening(BaseModel):
    """What is let pass.

    Attributes:
        empty_reader_mask: `refuse` takes an empty mask for an export that failed; `accept` takes
            it for a reader who saw no lesion.
        n_jobs: Scans screened at the same time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    empty_reader_mask: Literal["refuse", "accept"] = "refuse"
    n_jobs: int = Field(1, ge=1)


def screen(
    scan_table: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    reader_masks: Mapping[str, Mapping[str, LazyVolume]],
    cohort: str,
    screening: Screening,
) -> pd.DataFrame:
    """See `nodes.screen_scans`; here the masks are grouped by scan."""
    table = check_scan_table(scan_table, cohort)
    faults = list(_file_faults(table, scans, reader_masks))
    outlined = set(table.loc[table["role"].isin(OUTLINED_ROLES), "scan_id"])
    jobs = (
        delayed(_scan_and_mask_faults)(
            scan_id,
            scans[scan_id],
            reader_masks.get(scan_id, {}) if scan_id in outlined else {},
            screening,
        )
        for scan_id in table["scan_id"]
        if scan_id in scans
    )
    found = Parallel(n_jobs=screening.n_jobs, prefer="threads", return_as="generator")(jobs)
    title = f"screen {cohort}"
    for lines in tqdm(found, desc=title, total=len(table), unit="scan", disable=None):
        faults += lines
    if faults:
        raise CohortError(
            f"Cohort '{cohort}' has {len(faults)} faults; nothing was computed from it:\n"
            + "\n".join(f"- {fault}." for fault in faults)
        )
    return table


def _file_faults(
    table: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    reader_masks: Mapping[str, Mapping[str, LazyVolume]],
) -> Iterable[str]:
    for scan_id, role in zip(table["scan_id"], table["role"], strict=True):
        if scan_id not in scans:
            yield f"scan '{scan_id}' is in the table but has no file: add it or drop the row"
        if role in OUTLINED_ROLES and scan_id not in reader_masks:
            yield (
                f"scan '{scan_id}' has the role '{role}' but no reader's mask: add masks or make "
                "its role 'unlabelled'"
            )
    for scan_id in sorted((set(scans) | set(reader_masks)) - set(table["scan_id"])):
        yield f"scan '{scan_id}' has files but no row in scans.csv: add one or move the files away"


def _scan_and_mask_faults(
    scan_id: str, scan: LazyVolume, masks: Mapping[str, LazyVolume], screening: Screening
) -> list[str]:
    try:
        image = scan.whole()
    except VolumeError as error:
        return [f"scan '{scan_id}': {error}: copy or export it anew"]
    faults = [f"scan '{scan_id}': {fault}" for fault in scan_faults(image)]
    for reader, mask in masks.items():
        name = f"scan '{scan_id}', mask of '{reader}'"
        try:
            may_be_empty = screening.empty_reader_mask == "accept"
            found = mask_faults(mask.whole(), image, may_be_empty=may_be_empty)
        except VolumeError as error:
            found = [f"{error}: copy or export it anew"]
        faults += [f"{name}: {fault}" for fault in found]
    return faults
