"""Steps of preprocessing that take organs and lesions together, each for one cohort."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd
import SimpleITK as sitk

from coala_kedro.anatomy import STRUCTURE_IDS
from coala_kedro.cohort import OUTLINED_ROLES, scans_with_role
from coala_kedro.datasets import LazyVolume
from coala_kedro.fingerprint import recipe
from coala_kedro.imaging.inspection import Facts, inspect_anatomy, inspect_lesion_sizes
from coala_kedro.imaging.label_map import compose_label_map
from coala_kedro.imaging.lesion_labels import MASK_CONSTANTS
from coala_kedro.organs import EXPECTED_CENTRES_MM, LIVER_ID, SPLEEN_ID, OrganSegmenter
from coala_kedro.pipelines.preprocessing.checks import Screening
from coala_kedro.pipelines.preprocessing.screening import accept, judge_anatomy

Recipe = Callable[[], sitk.Image]


def segment_organs(
    usable_scans: pd.DataFrame, scans: Mapping[str, LazyVolume], organ_segmenter: OrganSegmenter
) -> dict[str, Recipe]:
    """Outline the twelve organs on every scan with the catalogued organ segmenter.

    Args:
        usable_scans: Scan table.
        scans: CT by scan id.
        organ_segmenter: As catalogued.

    Returns:
        Recipes by scan id; each makes a uint8 mask of TotalSegmentator's class ids.
    """
    return {
        scan_id: partial(
            _organ_mask,
            scan_id,
            scans[scan_id],
            organ_segmenter,
            made_from=organ_segmenter.fingerprint_for(scan_id),
        )
        for scan_id in usable_scans["scan_id"]
    }


@recipe("organ_mask", structures=STRUCTURE_IDS, **MASK_CONSTANTS)
def _organ_mask(
    scan_id: str, scan: LazyVolume, organ_segmenter: OrganSegmenter, made_from: str
) -> sitk.Image:
    return organ_segmenter.segment(scan_id, scan())


def inspect_lesions(
    usable_scans: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    consensus_masks: Mapping[str, LazyVolume],
    organ_masks: Mapping[str, LazyVolume],
    organ_segmenter: OrganSegmenter,
    screening: Screening,
) -> dict[str, Callable[[], Facts]]:
    """Measure where lesions and organs lie, how dense they are, and the contrast phase.

    Args:
        usable_scans: Scan table.
        scans: CT by scan id.
        consensus_masks: By scan id, of outlined scans.
        organ_masks: By scan id.
        organ_segmenter: Some know the contrast phase.
        screening: Whether the phase is asked for, and the margin of the liver.

    Returns:
        Recipes by scan id; each makes facts, see `imaging.inspection.inspect_anatomy`, and where
        the organ segmenter knows them `contrast_phase` and `contrast_phase_probability`.
    """
    asked = screening.severity.get("contrast_phase") != "ignore"
    asks_phase = asked and organ_segmenter.tells_phase
    return {
        scan_id: partial(
            _anatomy,
            scans[scan_id],
            organ_masks[scan_id],
            consensus_masks.get(scan_id),
            screening.limits.liver_margin_mm,
            partial(_phase, scan_id, scans[scan_id], organ_segmenter) if asks_phase else None,
        )
        for scan_id in usable_scans["scan_id"]
    }


@recipe("contrast_phase")
def _phase(scan_id: str, scan: LazyVolume, organ_segmenter: OrganSegmenter) -> Facts:
    phase = organ_segmenter.contrast_phase(scan_id, scan())
    if phase is None:
        return {}
    return {"contrast_phase": phase.name, "contrast_phase_probability": phase.probability}


@recipe("anatomy", version=4, structures=STRUCTURE_IDS, expected_mm=EXPECTED_CENTRES_MM)
def _anatomy(
    scan: LazyVolume,
    organ_mask: LazyVolume,
    consensus_mask: LazyVolume | None,
    margin_mm: float,
    phase: Callable[[], Facts] | None,
) -> Facts:
    crlm = consensus_mask() if consensus_mask else None
    facts = inspect_lesion_sizes(crlm) | inspect_anatomy(
        scan(),
        organ_mask(),
        crlm,
        liver=LIVER_ID,
        spleen=SPLEEN_ID,
        expected_mm=EXPECTED_CENTRES_MM,
        margin_mm=margin_mm,
    )
    return facts | phase() if phase else facts


def accept_anatomy(
    usable_scans: pd.DataFrame,
    findings: pd.DataFrame,
    anatomy: Mapping[str, Facts],
    cohort: str,
    screening: Screening,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge what was measured of lesions and liver, and leave out what cannot be right.

    Args:
        usable_scans: The scans that were measured.
        findings: Of the files.
        anatomy: What `inspect_lesions` measured.
        cohort: Its name, for messages.
        screening: Limits and severities.

    Returns:
        The scan table of the study, and all findings.

    Raises:
        CohortError: No scan is left, or one is refused and screening is strict.
    """
    found = judge_anatomy(usable_scans, anatomy, screening)
    accepted = accept(usable_scans, found, cohort, screening)
    return accepted, pd.concat([findings, found], ignore_index=True)


def compose_label_maps(
    accepted_scans: pd.DataFrame,
    consensus_masks: Mapping[str, LazyVolume],
    organ_masks: Mapping[str, LazyVolume],
) -> dict[str, Recipe]:
    """Lay the consensus over the organs: label maps of thirteen structures.

    Args:
        accepted_scans: Scan table.
        consensus_masks: By scan id.
        organ_masks: By scan id.

    Returns:
        Recipes by scan id, for every outlined scan.
    """
    return {
        scan_id: partial(_label_map, organ_masks[scan_id], consensus_masks[scan_id])
        for scan_id in scans_with_role(accepted_scans, *OUTLINED_ROLES)
    }


@recipe("label_map", structures=STRUCTURE_IDS)
def _label_map(organ_mask: LazyVolume, consensus_mask: LazyVolume) -> sitk.Image:
    return compose_label_map(organ_mask(), consensus_mask())
