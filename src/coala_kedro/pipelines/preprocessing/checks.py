"""Every check of screening, one line each: its code, its severity, what is wrong, what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

from coala_kedro.imaging.inspection import Facts
from coala_kedro.pipelines.preprocessing.limits import Limits

Severity = Literal["refuse", "warn", "ignore"]

_DECIMALS = 6
"""Files hold spacings in single precision: 2 mm in metres is 2.0000001 mm."""


class Rule(NamedTuple):
    """How facts are held against limits.

    Attributes:
        wrong: What was measured, if it is wrong; None if it is right, or was not measured.
        limit: Name of the limit.
    """

    wrong: Callable[[Facts, Limits], Any]
    limit: str = ""


@dataclass(frozen=True)
class Check:
    """One way to be wrong.

    Attributes:
        code: Short name, as in reports and in `screening.severity`.
        severity: By default.
        rule: What is wrong.
        remedy: What to do.
    """

    code: str
    severity: Severity
    rule: Rule
    remedy: str


def _is(fact: str) -> Rule:
    """Wrong where the fact is there and not zero, false or empty."""
    return Rule(lambda facts, limits: facts.get(fact) or None)


def _is_not(fact: str, expected: Any) -> Rule:
    return Rule(
        lambda facts, limits: facts[fact] if facts.get(fact, expected) != expected else None
    )


def _zero(fact: str) -> Rule:
    return Rule(lambda facts, limits: str(facts[fact]) if facts.get(fact, 1) == 0 else None)


def _several(fact: str) -> Rule:
    return Rule(lambda facts, limits: facts[fact] if _number(facts, fact, 1) > 1 else None)


def _above(fact: str, limit: str) -> Rule:
    return Rule(
        lambda facts, limits: (
            facts[fact] if _number(facts, fact, -math.inf) > getattr(limits, limit) else None
        ),
        limit,
    )


def _below(fact: str, limit: str) -> Rule:
    return Rule(
        lambda facts, limits: (
            facts[fact] if _number(facts, fact, math.inf) < getattr(limits, limit) else None
        ),
        limit,
    )


def _number(facts: Facts, fact: str, absent: float) -> float:
    return round(float(facts.get(fact, absent)), _DECIMALS)


def _turned(axes: str) -> Rule:
    """Wrong where organs would lie as they should if these axes were the other way round."""

    def wrong(facts: Facts, limits: Limits) -> Any:
        found = str(facts.get("turned_axes", "")).split(", ")
        misplaced = _number(facts, "misplacement_mm", 0) > limits.max_misplacement_mm
        return facts["misplacement_mm"] if misplaced and axes in found else None

    return Rule(wrong, "max_misplacement_mm")


def _other_values(facts: Facts, limits: Limits) -> Any:
    values = facts.get("mask_values") or facts.get("values") or "1"
    return values if values != "1" else None


def _other_phase(facts: Facts, limits: Limits) -> Any:
    phase = facts.get("contrast_phase", "portal_venous")
    probability = _number(facts, "contrast_phase_probability", 1)
    unsure = phase == "portal_venous" and probability < limits.min_phase_probability
    return f"{phase} ({probability:.1f})" if unsure or phase != "portal_venous" else None


EXPORT = "export the series again from the PACS"
SPACING = "is the spacing in mm? export it again"
HU = "are these HU? export it with rescale slope and intercept applied, once"
ONE_GRID = "export it again from its source: only that tells which of them is right"
ONE_SERIES = "keep one axial CT series in the folder, narrow the entry's pattern, or choose one by its `series`"
CHOOSE = "choose the portal-venous one in the entry, such as `series: {phase: 2}`, by number, description, acquisition, slice_thickness_mm, kernel, image_type or phase"
TISSUE = "are these HU, and do scan and organ mask belong together? export the scan again, as conventional CT in HU"
AXES = "export it again, with its header: it is no axial scan of a patient, or its axes are not as the header says"

HEADER_CHECKS = (
    Check("no_orientation", "refuse", _is("no_orientation"), "export it with its orientation: left and right cannot be told apart"),
    Check("no_spacing", "refuse", _is("no_spacing"), "export it with its spacing"),
    Check("spacing_contradiction", "refuse", _is("spacing_contradiction"), ONE_GRID),
    Check("form_contradiction", "refuse", _is("form_contradiction"), ONE_GRID),
    Check("rescale_contradiction", "refuse", _is("rescale_contradiction"), HU),
    Check("senseless_header", "refuse", _is("senseless_header"), ONE_GRID),
)  # fmt: skip
"""Of a file that contradicts itself; `imaging.nifti` and `imaging.text_headers` say how."""

SCAN_CHECKS = (
    Check("no_file", "refuse", _is("no_file"), "add the scan's file, mend the entry's pattern, or drop the row"),
    Check("no_row", "warn", _is("no_row"), "add a row to scans.csv, or move the files away"),
    Check("unreadable", "refuse", _is("unreadable"), "copy or export it anew"),
    Check("sheared", "refuse", _is("sheared"), "resample it to a grid of right angles"),
    *HEADER_CHECKS,
    Check("template_space", "warn", _is("template_space"), "is this the patient's own size, not an atlas's?"),
    Check("default_grid", "warn", _is("is_default_grid"), "was its header lost on the way? export it again, unless its voxels are of 1 mm"),
    Check("not_ct", "refuse", _is_not("modality", "CT"), ONE_SERIES),
    Check("secondary_capture", "refuse", _is("is_secondary_capture"), ONE_SERIES),
    Check("localizer", "refuse", _is("is_localizer"), ONE_SERIES),
    Check("not_grey", "refuse", _several("samples_per_pixel"), ONE_SERIES),
    Check("no_such_series", "refuse", _is("no_such_series"), "mend `series` in the entry: it must fit one of these"),
    Check("several_series", "refuse", _is("several_series"), CHOOSE),
    Check("several_acquisitions", "refuse", _is("several_acquisitions"), CHOOSE),
    Check("multiframe", "refuse", _is("is_multiframe"), "export it as classic CT, one file a slice"),
    Check("damaged_files", "refuse", _is("n_unreadable_files"), EXPORT),
    Check("other_files", "warn", _is("other_files"), "nothing, if none of these was to be a slice"),
    Check("missing_slices", "refuse", _is("n_missing_slices"), EXPORT),
    Check("duplicate_slices", "refuse", _is("n_duplicate_slices"), "delete the copies"),
    Check("overlapping_slices", "refuse", _is("n_overlapping_slices"), "these are different images at one place, no copies: have each acquisition exported as a series of its own"),
    Check("irregular_slices", "refuse", _above("irregularity_mm", "max_irregularity_mm"), EXPORT),
    Check("tilted", "refuse", _above("tilt_degrees", "max_tilt_degrees"), "have it corrected where the scan is reconstructed, or allow `tilt: resample` in the entry"),
    Check("mixed_orientations", "refuse", _several("n_orientations"), ONE_SERIES),
    Check("mixed_slice_sizes", "refuse", _several("n_slice_grids"), ONE_SERIES),
    Check("several_patients", "refuse", _several("n_patients"), "keep one patient's series in the folder"),
    Check("several_frames_of_reference", "refuse", _several("n_frames_of_reference"), "the slices' positions cannot be held against each other: keep those of one frame in the folder, or export the series again"),
    Check("no_hu", "refuse", _is("other_units"), "use a conventional series in HU, no map of a dual-energy scan"),
    Check("other_slice_spacing", "refuse", _is("other_slice_spacing"), EXPORT),
    Check("other_pixel_spacing", "refuse", _is("other_pixel_spacing"), EXPORT),
    Check("slices_apart", "warn", _is("slices_apart"), "are slices missing? export the whole series"),
    Check("no_rescale", "refuse", _zero("has_rescale"), "export it with Rescale Slope and Intercept"),
    Check("not_3d", "refuse", _is_not("n_dimensions", 3), "export a single CT volume"),
    Check("several_values_a_voxel", "refuse", _several("n_components"), "export a single CT volume in HU"),
    Check("nonfinite_voxels", "refuse", _is("nonfinite_voxels"), EXPORT),
    Check("no_air", "refuse", _above("lowest_hu", "max_air_hu"), HU),
    Check("no_soft_tissue", "refuse", _below("soft_tissue_share", "min_soft_tissue_share"), HU),
    Check("few_slices", "refuse", _below("n_slices", "min_slices"), EXPORT),
    Check("fine_spacing", "refuse", _below("spacing_mm", "min_spacing_mm"), SPACING),
    Check("coarse_spacing", "refuse", _above("spacing_mm", "max_spacing_mm"), SPACING),
    Check("thin_slices", "refuse", _below("slice_spacing_mm", "min_slice_spacing_mm"), SPACING),
    Check("thick_slices", "refuse", _above("slice_spacing_mm", "max_slice_spacing_mm"), "use a thinner reconstruction"),
    Check("small_field_of_view", "refuse", _below("field_of_view_mm", "min_field_of_view_mm"), "use a reconstruction of the whole abdomen"),
    Check("large_field_of_view", "refuse", _above("field_of_view_mm", "max_field_of_view_mm"), SPACING),
    Check("short", "warn", _below("height_mm", "min_height_mm"), "does it cover the liver?"),
)  # fmt: skip
"""Of a scan's file, header and voxels."""

MASK_CHECKS = (
    Check("mask_absent", "warn", _is("absent"), "add the mask if the reader outlined this scan"),
    Check("mask_unreadable", "refuse", _is("unreadable"), "copy or export it anew"),
    Check("mask_header", "refuse", _is("mask_header"), "export it again from the program that it was drawn in"),
    Check("no_segment", "refuse", _is("no_segment"), "name the segments as they are labelled, in the entry's `segments`"),
    Check("mask_frame", "refuse", _is("other_frame"), "is it another scan's? if UIDs were made anew when the data were anonymised, set screening.severity.mask_frame to 'warn'"),
    Check("mask_series", "warn", _is("other_series"), "was it drawn on another phase or reconstruction? then its lesions may lie elsewhere: look at it"),
    Check("mask_images", "warn", _is("other_images"), "was it drawn on another phase of this series? then choose that one by the entry's `series`"),
    Check("mask_grid", "refuse", _is("other_grid"), "export it on the scan's grid, or allow `resample: nearest` in its catalog entry"),
    Check("mask_values", "refuse", Rule(_other_values), "tell which are the lesion by `values` (of segments by `segments`) in the catalog entry, or export a mask of 0 and 1"),
    Check("mask_empty", "refuse", _zero("n_voxels"), "outline the scan, mend the entry's `values`, or set screening.severity.mask_empty to 'warn' if readers may see no lesion"),
)  # fmt: skip
"""Of one reader's mask of an outlined scan."""

ORGAN_CHECKS = tuple(
    Check(code, "refuse", _is(code), "export the organ mask anew on the scan's grid, or use `segmenter: totalsegmentator`")
    for code in ("organ_mask_absent", "organ_mask_unreadable", "organ_mask_grid", "organ_mask_values")
)  # fmt: skip
"""Of an organ mask that the hospital brings; the codes are `organs.OrganMaskError`'s."""

ANATOMY_CHECKS = (
    Check("no_liver", "refuse", _below("liver_ml", "min_liver_ml"), "is it a scan of the abdomen, and its organ mask in TotalSegmentator's ids?"),
    Check("crlm_outside_liver", "refuse", _above("crlm_outside_liver_share", "max_crlm_outside_liver_share"), "do masks and scan belong together?"),
    Check("crlm_is_liver", "refuse", _above("crlm_share_of_liver", "max_crlm_share_of_liver"), "is the lesion outlined, or the liver? in a label file, tell the lesion's value by `values` in the catalog entry"),
    Check("crlm_cut", "warn", _is("crlm_cut"), "a lesion goes on beyond the scan: use one that covers the liver"),
    Check("liver_cut", "warn", _above("liver_cut_share", "max_liver_cut_share"), "the liver goes on beyond the scan, and so may lesions: use one that covers it"),
    Check("liver_too_dark", "refuse", _below("liver_hu", "min_liver_hu"), TISSUE),
    Check("liver_too_bright", "refuse", _above("liver_hu", "max_liver_hu"), TISSUE),
    Check("spleen_too_dark", "refuse", _below("spleen_hu", "min_spleen_hu"), TISSUE),
    Check("spleen_too_bright", "refuse", _above("spleen_hu", "max_spleen_hu"), TISSUE),
    Check("fat_too_dark", "refuse", _below("fat_hu", "min_fat_hu"), TISSUE),
    Check("fat_too_bright", "refuse", _above("fat_hu", "max_fat_hu"), TISSUE),
    Check("uneven_slices", "refuse", _above("liver_hu_spread", "max_liver_hu_spread"), EXPORT),
    Check("blank_slices", "refuse", _is("n_blank_liver_slices"), EXPORT),
    Check("left_right_flip", "refuse", _turned("left_right"), "export it again: its left and right are exchanged (of situs inversus, set screening.severity.left_right_flip to 'warn')"),
    Check("front_back_flip", "refuse", _turned("front_back"), "export it again: its front and back are exchanged"),
    Check("head_feet_flip", "refuse", _turned("head_feet"), "export it again: its head and feet are exchanged"),
    Check("axes_exchanged", "refuse", _turned("exchanged"), AXES),
    Check("other_n_crlm", "warn", _is("other_n_crlm"), "are these the scan's masks? mend n_crlm in scans.csv"),
    Check("other_diameter", "warn", _is("other_diameter"), "are these the scan's masks? mend largest_crlm_diameter_mm in scans.csv"),
    Check("contrast_phase", "warn", Rule(_other_phase, "min_phase_probability"), "use the portal-venous series"),
)  # fmt: skip
"""Of organs and lesions together."""

TABLE_CHECKS = (
    Check("impossible_date", "warn", _is("impossible_date"), "mend acquired_on in scans.csv"),
    Check("other_sex", "warn", _is("other_sex"), "is this the patient's scan? mend sex in scans.csv"),
    Check("other_age", "warn", _is("other_age"), "is this the patient's scan? mend age_years in scans.csv"),
    Check("other_date", "warn", _is("other_date"), "is this the scan of that day? mend acquired_on in scans.csv"),
)  # fmt: skip
"""Of a scan's row, beside what its headers tell; `preprocessing.contradictions` says how."""

COHORT_CHECKS = (
    Check("no_reader", "refuse", _is("no_reader"), "add readers' masks or make its role 'unlabelled'"),
    Check("same_voxels", "refuse", _is("same_voxels"), "keep one of the copies"),
    Check("patient_in_training_and_test", "refuse", _is("patient_in_training_and_test"), "give all of the patient's scans the role 'test', or none"),
    Check("post_before_pre", "refuse", _is("post_before_pre"), "mend timepoint or acquired_on in scans.csv"),
    Check("sex_changes", "warn", _is("sex_changes"), "are these one patient's scans? mend sex or patient_id in scans.csv"),
    Check("age_does_not_fit", "warn", _is("age_does_not_fit"), "are these one patient's scans? mend age_years, acquired_on or patient_id in scans.csv"),
    Check("pre_and_post_on_one_day", "warn", _is("pre_and_post_on_one_day"), "are these two phases of one scan? mend timepoint or acquired_on in scans.csv"),
    Check("years_between_pre_and_post", "warn", _is("years_between_pre_and_post"), "mend timepoint or acquired_on in scans.csv"),
    Check("patient_in_both_cohorts", "refuse", _is("patient_in_both_cohorts"), "if these are different people, give them different pseudonyms; else drop one's scans"),
)  # fmt: skip
"""Of scans beside each other."""

ALWAYS_REFUSED = frozenset(
    ("no_file", "unreadable", "sheared", "not_grey", "not_3d", "several_values_a_voxel", "no_reader",
     "mask_unreadable", "no_segment", "mask_grid", "organ_mask_absent", "organ_mask_unreadable", "organ_mask_grid",
     "organ_mask_values", "nonfinite_voxels", "patient_in_training_and_test", "mask_header",
     *(check.code for check in HEADER_CHECKS)),
)  # fmt: skip
"""Nothing can be computed on these, or nothing that may be believed."""

MASK_CODES = {check.code: "mask_header" for check in HEADER_CHECKS} | {
    "sheared": "unreadable", "nonfinite_voxels": "unreadable"}  # fmt: skip
"""What a mask fails that cannot be read for a reason that scans have too."""

CHECKS = (*SCAN_CHECKS, *TABLE_CHECKS, *MASK_CHECKS, *ORGAN_CHECKS, *ANATOMY_CHECKS, *COHORT_CHECKS)


class Screening(BaseModel):
    """How scans are judged.

    Attributes:
        strict: Stop the study at the first refused scan instead of going on with the rest.
        severity: By a check's code, where it is not the default.
        limits: Where plausible ends.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strict: bool = False
    severity: dict[str, Severity] = {}
    limits: Limits = Limits()

    @field_validator("severity")
    @classmethod
    def _may_be_changed(cls, severity: dict[str, Severity]) -> dict[str, Severity]:
        codes = [check.code for check in CHECKS]
        if unknown := sorted(severity.keys() - set(codes)):
            raise ValueError(
                f"there is no check {', '.join(unknown)}; there are {', '.join(codes)}"
            )
        lax = sorted(
            code for code in ALWAYS_REFUSED & severity.keys() if severity[code] != "refuse"
        )
        if lax:
            raise ValueError(
                f"a scan cannot be used in spite of {', '.join(lax)}: it stays refused"
            )
        return severity
