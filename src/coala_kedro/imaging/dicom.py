"""DICOM series: facts from their headers, and the CT.

SimpleITK reads a series with a missing slice, a tilt or a slice twice with a warning at most and
a wrong geometry, so positions are measured here before anything is read. highdicom refuses such
series, but also sound ones whose headers lack what no voxel depends on, such as SOPClassUID.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.dicom_files import is_copy, read_folder
from coala_kedro.imaging.dicom_headers import Numbers, SliceHeader
from coala_kedro.imaging.dicom_origin import Facts, Origin
from coala_kedro.imaging.dicom_stacks import (
    SeriesChoice,
    Stack,
    choose_stacks,
    describe_stacks,
    interleave,
)
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import SPACING_TOLERANCE
from coala_kedro.imaging.modalities import modality_name
from coala_kedro.imaging.planes import straighten
from coala_kedro.imaging.slice_positions import SAME_POSITION_MM, count_steps, places
from coala_kedro.imaging.untrusted import size_fault

_SAME = 1e-4
"""Headers hold decimal text: directions and spacings that differ by so little are the same."""


def inspect_series(
    folder: Path,
    choice: SeriesChoice | None = None,
    *,
    correct_tilt: bool = False,
    acquired_on: str = "",
) -> Facts:
    """Facts of a series from its headers alone; no content of a file raises an error.

    Args:
        folder: Folder of the files; see `dicom_files.read_folder`.
        choice: Which of several series is meant.
        correct_tilt: Whether `read_series` is to correct a tilted gantry.
        acquired_on: The scan table's date (ISO), if the person and the day are asked for too.

    Returns:
        `n_files`, `n_unreadable_files`, `other_files` (in words, what is no image); where there is
        a choice that nothing fits `no_such_series` (in words, what is there); else of the slices
        that are meant `n_series`, `modality`, `samples_per_pixel`, `is_localizer`,
        `is_secondary_capture`, `is_multiframe`, `has_rescale`, `n_slice_grids` (different rows,
        columns or spacings), `n_orientations`; where there are several series or acquisitions
        `several_series` or `several_acquisitions` (in words); else, where there are positions,
        `n_slices` (different ones), `n_duplicate_slices` (the same image or pixels),
        `n_overlapping_slices` (other images at one position), `n_missing_slices`, `irregularity_mm`
        (largest departure of a gap from whole multiples of the usual one, or of a position from the
        line from the first to the last), `tilt_degrees` (between that line and the slices' normal;
        `corrected_tilt_degrees` where it is corrected); where the headers say so
        `slice_thickness_mm`, `scanner`, `told_slice_spacing_mm` (SpacingBetweenSlices);
        `n_patients` and `n_frames_of_reference` (of one series) where there are several; in words
        `other_pixel_spacing` and `other_units` where they differ; with `acquired_on` also
        `header_sex`, `header_age_years`, `birth_age_years` and `days_after_table` (from the table's
        date to the nearest of the headers').
    """
    content = read_folder(folder)
    facts: Facts = {
        "n_files": len(content.headers) + content.n_unreadable,
        "n_unreadable_files": content.n_unreadable,
    }
    if content.others:
        facts["other_files"] = content.others
    if not content.headers:
        return facts
    stacks = choose_stacks(content.headers, choice)
    if not stacks:
        available = describe_stacks(choose_stacks(content.headers, None))
        return facts | {"no_such_series": f"there is {available}"}
    headers = [header for stack in stacks for header in stack.slices]
    facts |= _inspect_slices(headers) | _inspect_stacks(stacks, headers)
    if correct_tilt and "tilt_degrees" in facts:
        facts["corrected_tilt_degrees"] = facts.pop("tilt_degrees")
    facts |= _inspect_statements(headers)
    return facts | _inspect_person(headers, acquired_on) if acquired_on else facts


def series_origin(folder: Path, choice: SeriesChoice | None = None) -> Origin:
    """The UIDs of a series, to compare them with those that a segmentation refers to.

    Args:
        folder: Folder of the files.
        choice: Which of several series is meant.
    """
    stacks = choose_stacks(read_folder(folder).headers, choice)
    headers = [header for stack in stacks for header in stack.slices]
    return Origin(
        series=frozenset(h.series for h in headers) - {""},
        frames=frozenset(h.frame_of_reference for h in headers) - {""},
        images=frozenset(h.instance for h in headers) - {""},
    )


def read_series(
    folder: Path, choice: SeriesChoice | None = None, *, correct_tilt: bool = False
) -> sitk.Image:
    """Read a series (xyz, LPS, mm, HU); slices in order of their positions, whatever their names.

    Gaps are not looked at, see `inspect_series`: their mean is the spacing.

    Args:
        folder: Folder of the files.
        choice: Which of several series is meant.
        correct_tilt: Move every slice of a tilted gantry within its plane, to where a straight
            stack has it: voxels are interpolated along rows and columns alone, the grid is wide
            enough for all slices, and what none of them covers is air.

    Returns:
        CT of the type that GDCM reads, or 32-bit floating point where a rescale is not of whole
        numbers; nothing else of the headers.

    Raises:
        VolumeError: There is no series, or more than one, or more than one acquisition; slices
            differ in size or direction, or have several values a voxel; a file is damaged.
    """
    content = read_folder(folder)
    stacks = choose_stacks(content.headers, choice)
    headers = [header for stack in stacks for header in stack.slices]
    _check_one_series(headers, content.n_unreadable)
    n_bytes = int(sum(2 * math.prod(h.size) * h.n_frames * h.n_values for h in headers))
    if fault := size_fault(n_bytes, n_bytes):
        raise VolumeError(fault)
    if len(stacks) > 1:
        raise VolumeError(f"There are {len(stacks)} acquisitions: {describe_stacks(stacks)}")
    axes = headers[0].axes
    headers.sort(key=lambda h: float(np.dot(h.position_mm, axes[2])))
    first, last = headers[0], headers[-1]
    height_mm = float(np.subtract(last.position_mm, first.position_mm) @ axes[2])
    gap_mm = height_mm / max(len(headers) - 1, 1) or first.slice_thickness_mm or 1.0
    image = _read_slices(headers)
    image.SetSpacing((*first.spacing_mm[::-1], gap_mm))
    image.SetOrigin(first.position_mm)
    image.SetDirection(axes.T.ravel().tolist())
    return straighten(image, [h.position_mm for h in headers]) if correct_tilt else image


def _inspect_slices(headers: Sequence[SliceHeader]) -> Facts:
    """Facts of slices that do not depend on where they lie."""
    modalities = {modality_name(m) for h in headers for m in h.modality.split("/")}
    return {
        "n_series": len({h.series for h in headers}),
        "modality": "/".join(sorted(modalities)),
        "samples_per_pixel": max(h.n_values for h in headers),
        "is_localizer": any(h.is_localizer for h in headers),
        "is_secondary_capture": any(h.is_secondary_capture for h in headers),
        "is_multiframe": any(h.n_frames > 1 for h in headers),
        "has_rescale": all(h.has_rescale for h in headers),
        "n_slice_grids": _n_different(h.size + h.spacing_mm for h in headers),
        "n_orientations": _n_different(h.cosines for h in headers),
    }


def _n_different(several: Iterable[Numbers]) -> int:
    kinds: list[Numbers] = []
    for values in set(several):
        same = (len(k) == len(values) and np.allclose(k, values, rtol=0, atol=_SAME) for k in kinds)
        if not any(same):
            kinds.append(values)
    return len(kinds)


def _inspect_stacks(stacks: Sequence[Stack], headers: Sequence[SliceHeader]) -> Facts:
    if len({h.series for h in headers}) > 1:
        return {"several_series": describe_stacks(stacks)}
    if not all(h.position_mm and h.cosines for h in headers):
        return {}
    at_place = places(headers)
    n_at_one_place = len(headers) - len(at_place)
    n_copies = sum(
        any(is_copy(one, other) for other in slices[:n])
        for slices in at_place
        for n, one in enumerate(slices)
    )
    apart = n_copies < n_at_one_place if n_at_one_place else interleave([s.slices for s in stacks])
    if len(stacks) > 1 and apart:
        return {"several_acquisitions": describe_stacks(stacks), "n_duplicate_slices": n_copies}
    facts = _inspect_positions(headers) | {"n_duplicate_slices": n_copies}
    if n_copies < n_at_one_place:
        facts["n_overlapping_slices"] = n_at_one_place - n_copies
    return facts


def _inspect_positions(headers: Sequence[SliceHeader]) -> Facts:
    positions_mm, normal = np.array([h.position_mm for h in headers]), headers[0].axes[2]
    heights_mm = positions_mm @ normal
    order = np.argsort(heights_mm, kind="stable")
    gaps_mm = np.diff(heights_mm[order])
    gaps_mm = gaps_mm[gaps_mm > SAME_POSITION_MM]
    facts: Facts = {"n_slices": len(gaps_mm) + 1, "n_missing_slices": 0, "irregularity_mm": 0.0}
    if not gaps_mm.size:
        return facts
    steps, off_mm = count_steps(gaps_mm)
    from_first_mm = positions_mm - positions_mm[order[0]]
    way_mm = from_first_mm[order[-1]]
    line = way_mm / (way_mm @ normal)  # for each mm of height
    off_line_mm = from_first_mm - np.outer(from_first_mm @ normal, line)
    irregularity_mm = max(off_mm, float(np.linalg.norm(off_line_mm, axis=1).max()))
    cosine = min(1.0, 1 / float(np.linalg.norm(line)))
    return facts | {
        "n_missing_slices": int((steps - 1).sum()),
        "irregularity_mm": round(irregularity_mm, 4),
        "tilt_degrees": round(math.degrees(math.acos(cosine)), 2),
    }


def _inspect_statements(headers: Sequence[SliceHeader]) -> Facts:
    """Facts of the headers on which no voxel depends."""
    usual: Facts = {
        "slice_thickness_mm": Counter(h.slice_thickness_mm for h in headers).most_common(1)[0][0],
        "told_slice_spacing_mm": Counter(h.between_mm for h in headers).most_common(1)[0][0],
        "scanner": headers[0].scanner,
    }
    facts = {name: value for name, value in usual.items() if value}
    if units := {h.other_units for h in headers} - {""}:
        facts["other_units"] = ", ".join(sorted(units))
    frames = {(h.series, h.frame_of_reference) for h in headers if h.frame_of_reference}
    if (of_one := max(Counter(series for series, _ in frames).values(), default=0)) > 1:
        facts["n_frames_of_reference"] = of_one
    if (n_patients := len({h.patient for h in headers} - {""})) > 1:
        facts["n_patients"] = n_patients
    for pair in ((h.spacing_mm, h.imager_spacing_mm) for h in headers):
        if all(pair) and not np.allclose(*pair, rtol=SPACING_TOLERANCE, atol=0):
            one, two = (" x ".join(f"{mm:g}" for mm in spacing_mm) for spacing_mm in pair)
            facts["other_pixel_spacing"] = f"PixelSpacing is {one} mm, ImagerPixelSpacing {two} mm"
            break
    return facts


def _inspect_person(headers: Sequence[SliceHeader], acquired_on: str) -> Facts:
    known: dict[str, Sequence[str | int]] = {
        "header_sex": [h.sex for h in headers if h.sex],
        "header_age_years": [h.age_years for h in headers if h.age_years],
        "birth_age_years": [h.birth_age_years for h in headers if h.birth_age_years],
    }
    facts: Facts = {fact: values[0] for fact, values in known.items() if values}
    if days := {day for h in headers for day in h.days}:
        table = datetime.date.fromisoformat(acquired_on)
        facts["days_after_table"] = min(((day - table).days for day in days), key=abs)
    return facts


def _check_one_series(headers: Sequence[SliceHeader], n_unreadable: int) -> None:
    if n_unreadable:
        raise VolumeError(f"{n_unreadable} files are no DICOM, or are damaged")
    if not headers:
        raise VolumeError("There is no DICOM file of the series in the folder")
    if not all(h.position_mm and h.cosines and h.spacing_mm for h in headers):
        raise VolumeError("The files do not say where their slices lie")
    facts = _inspect_slices(headers)
    counted = {
        "series": facts["n_series"],
        "sizes or spacings of slices": facts["n_slice_grids"],
        "directions of slices": facts["n_orientations"],
        "values a voxel": facts["samples_per_pixel"],
        "frames a file": max(h.n_frames for h in headers),
    }
    if wrong := [f"{number} {what}" for what, number in counted.items() if number != 1]:
        raise VolumeError(f"This is no series of slices: there are {', '.join(wrong)}")


def _read_slices(headers: Sequence[SliceHeader]) -> sitk.Image:
    """Stack the files' slices in HU, without the headers' texts."""
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")  # It reads files without preamble, if it is asked at all.
    reader.SetFileNames([str(h.path) for h in headers])
    # GDCM takes the type of the first slice, which may not hold the others' HU.
    if not all(value.is_integer() for h in headers for value in h.rescale):
        reader.SetOutputPixelType(sitk.sitkFloat32)
    elif len({(h.rescale, h.stored) for h in headers}) > 1:
        reader.SetOutputPixelType(sitk.sitkInt32)
    reader.SetGlobalWarningDisplay(False)
    try:
        image = reader.Execute()
    except RuntimeError:
        # Without GDCM's reason: it shows the file's path and what it could not make sense of.
        raise VolumeError(
            "The series cannot be read: a file is damaged, or of an unknown kind"
        ) from None
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image
