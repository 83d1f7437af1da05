"""What headers say beside what a scan is read by: of the person, and of its spacing once more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pydicom

from coala_kedro.imaging.dicom_person import (
    PERSON_TAGS,
    Facts,
    Person,
    inspect_persons,
    n_patients,
    read_person,
)
from coala_kedro.imaging.geometry import SPACING_TOLERANCE

if TYPE_CHECKING:
    from coala_kedro.imaging.dicom_headers import SliceHeader

CLAIM_TAGS = (*PERSON_TAGS, "SpacingBetweenSlices", "ImagerPixelSpacing", "RescaleType")
"""All that is read of a header for it."""

_OTHER_UNITS = {
    "OD": "optical density", "HU_MOD": "modified Hounsfield units", "PCT": "percent",
    "MGML": "mg/mL", "Z_EFF": "effective atomic numbers", "ED": "electron densities",
    "EDW": "electron densities", "HU": "",
}  # fmt: skip
"""Defined terms of RescaleType (PS3.3 C.11.1.1.2) but for "unspecified", which exporters write for
HU too."""


@dataclass(frozen=True)
class Claims:
    """What a slice's header says and no voxel depends on; without sense it is as if not there.

    Attributes:
        person: Whose it is.
        between_mm: From slice to slice; 0 if it is not told.
        imager_spacing_mm: At the detector, between rows and columns: of no use for a CT.
        other_units: What its values are, in words, if they are no HU.
    """

    person: Person
    between_mm: float
    imager_spacing_mm: tuple[float, ...]
    other_units: str


def read_claims(header: pydicom.Dataset) -> Claims:
    """Read `CLAIM_TAGS`."""
    return Claims(
        person=read_person(header),
        between_mm=abs(next(iter(_numbers(header, "SpacingBetweenSlices", 1)), 0.0)),
        imager_spacing_mm=_numbers(header, "ImagerPixelSpacing", 2),
        other_units=_OTHER_UNITS.get(str(header.get("RescaleType", "")).strip(), ""),
    )


def inspect_claims(headers: Sequence[SliceHeader], acquired_on: str) -> Facts:
    """Tell what a series' slices say beside what it is read by.

    Args:
        headers: Of its slices.
        acquired_on: The scan table's date (ISO); empty if the person is not asked for.

    Returns:
        Where the headers say so `slice_thickness_mm`, `scanner`, `told_slice_spacing_mm`
        (SpacingBetweenSlices); where there are several `n_patients`, `n_frames_of_reference`
        (of one series); where it differs, in words `other_pixel_spacing`, `other_units`; and see
        `dicom_person.inspect_persons`.
    """
    usual: Facts = {
        "slice_thickness_mm": _most_common(h.thickness_mm for h in headers),
        "told_slice_spacing_mm": _most_common(h.claims.between_mm for h in headers),
        "scanner": headers[0].scanner,
    }
    facts = {name: value for name, value in usual.items() if value}
    if units := {h.claims.other_units for h in headers} - {""}:
        facts["other_units"] = ", ".join(sorted(units))
    frames = {(h.series, h.frame_of_reference) for h in headers if h.frame_of_reference}
    if (of_one := max(Counter(series for series, _ in frames).values(), default=0)) > 1:
        facts["n_frames_of_reference"] = of_one
    persons = [h.claims.person for h in headers]
    if (several := n_patients(persons)) > 1:
        facts["n_patients"] = several
    for h in headers:
        spacing_mm, other_mm = h.spacing_mm, h.claims.imager_spacing_mm
        if not spacing_mm or not other_mm:
            continue
        if not np.allclose(spacing_mm, other_mm, rtol=SPACING_TOLERANCE, atol=0):
            told = f"PixelSpacing is {_shown(spacing_mm)} mm, ImagerPixelSpacing"
            facts["other_pixel_spacing"] = f"{told} {_shown(other_mm)} mm"
            break
    return facts | inspect_persons(persons, acquired_on) if acquired_on else facts


def _most_common(values_mm: Iterable[float]) -> float:
    return Counter(values_mm).most_common(1)[0][0]


def _numbers(header: pydicom.Dataset, keyword: str, length: int) -> tuple[float, ...]:
    value = header.get(keyword)
    try:
        numbers = tuple(map(float, value if length > 1 else [value]))
    except (TypeError, ValueError):
        return ()
    return numbers if len(numbers) == length and all(map(math.isfinite, numbers)) else ()


def _shown(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:g}" for value in values)
