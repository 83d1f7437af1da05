"""DICOM series: what the headers tell, and the CT.

SimpleITK reads a series with a missing slice, a tilt or a slice twice with a warning at most and
a wrong geometry, so positions are measured here before anything is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.dicom_acquisitions import (
    SAME_POSITION_MM,
    Stack,
    interleave,
    n_at_one_place,
)
from coala_kedro.imaging.dicom_claims import inspect_claims
from coala_kedro.imaging.dicom_files import same_pixels
from coala_kedro.imaging.dicom_folder import read_headers
from coala_kedro.imaging.dicom_headers import Numbers, SliceHeader
from coala_kedro.imaging.dicom_origin import Origin
from coala_kedro.imaging.dicom_stacks import (
    SeriesChoice,
    choose_stacks,
    describe_stacks,
    n_copies,
)
from coala_kedro.imaging.dicom_tilt import straighten
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.modalities import modality_name
from coala_kedro.imaging.untrusted import size_fault

_BYTES_A_VOXEL = 2
_DECIMALS = 4
_SAME = 1e-4
"""Headers hold decimal text: directions and spacings that differ by so little are the same."""

Facts = dict[str, bool | int | float | str]


def inspect_series(
    folder: Path,
    choice: SeriesChoice | None = None,
    *,
    correct_tilt: bool = False,
    acquired_on: str = "",
) -> Facts:
    """Measure a series by its headers alone; whatever is in the files, it raises nothing.

    Args:
        folder: Folder of the files; see `dicom_folder.read_headers`.
        choice: Which of several series is meant.
        correct_tilt: Whether `read_series` is told to.
        acquired_on: The scan table's date (ISO), if the patient and the day are asked for too.

    Returns:
        `n_files`, `n_unreadable_files`, `other_files` (in words, what is no image); where there is
        a choice that nothing fits `no_such_series` (in words, what is there); of the readable ones
        that are meant `n_series`, `modality`, `samples_per_pixel`, `is_localizer`,
        `is_secondary_capture`, `is_multiframe`, `has_rescale`, `n_slice_grids` (different rows,
        columns or spacings), `n_orientations`; where there are several series or acquisitions
        `several_series` or `several_acquisitions` (in words); else, where there are positions,
        `n_slices` (different ones), `n_duplicate_slices` (the same image or pixels),
        `n_overlapping_slices` (other images at one position), `n_missing_slices`,
        `irregularity_mm` (largest departure of a gap from whole multiples of the usual one, or of
        a position from the line from the first to the last), `tilt_degrees` (between that line and
        the slices' normal; `corrected_tilt_degrees` where it is corrected); and what else the
        headers say, see `dicom_claims.inspect_claims`.
    """
    content = read_headers(folder)
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
        there = describe_stacks(choose_stacks(content.headers, None))
        return facts | {"no_such_series": f"there is {there}"}
    headers = [header for stack in stacks for header in stack.slices]
    facts |= {
        "n_series": len({h.series for h in headers}),
        "modality": "/".join(
            sorted({modality_name(m) for h in headers for m in h.modality.split("/")})
        ),
        "samples_per_pixel": max(h.n_values for h in headers),
        "is_localizer": any(h.is_localizer for h in headers),
        "is_secondary_capture": any(h.is_secondary_capture for h in headers),
        "is_multiframe": any(h.n_frames > 1 for h in headers),
        "has_rescale": all(h.has_rescale for h in headers),
        "n_slice_grids": _n_different(_slice_grid(h) for h in headers),
        "n_orientations": _n_different(h.cosines for h in headers),
    }
    facts |= _inspect_stacks(stacks, correct_tilt)
    return facts | inspect_claims(headers, acquired_on)


def _inspect_stacks(stacks: Sequence[Stack], correct_tilt: bool) -> Facts:
    headers = [header for stack in stacks for header in stack.slices]
    if len({h.series for h in headers}) > 1:
        return {"several_series": describe_stacks(stacks)}
    if not all(h.position_mm and h.cosines for h in headers):
        return {}
    copies, at_one_place = 0, n_at_one_place(headers)
    if at_one_place:
        copies = n_copies(headers, same_pixels)
    apart = copies < at_one_place if at_one_place else interleave([s.slices for s in stacks])
    if len(stacks) > 1 and apart:
        return {"several_acquisitions": describe_stacks(stacks), "n_duplicate_slices": copies}
    positions_mm = np.array([h.position_mm for h in headers])
    facts = _inspect_positions(positions_mm, _axes(headers[0])[2])
    facts["n_duplicate_slices"] = copies
    if copies < at_one_place:
        facts["n_overlapping_slices"] = at_one_place - copies
    if correct_tilt and "tilt_degrees" in facts:
        facts["corrected_tilt_degrees"] = facts.pop("tilt_degrees")
    return facts


def series_origin(folder: Path, choice: SeriesChoice | None = None) -> Origin:
    """The UIDs of a series, by which a segmentation tells what it was drawn on."""
    headers = [
        h for stack in choose_stacks(read_headers(folder).headers, choice) for h in stack.slices
    ]
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
    content = read_headers(folder)
    stacks = choose_stacks(content.headers, choice)
    headers: Sequence[SliceHeader] = [header for stack in stacks for header in stack.slices]
    _check_one_series(headers, content.n_unreadable)
    promised = sum(math.prod(h.size) * h.n_frames * h.n_values * _BYTES_A_VOXEL for h in headers)
    if fault := size_fault(int(promised), int(promised)):
        raise VolumeError(fault)
    if len(stacks) > 1:
        raise VolumeError(f"There are {len(stacks)} acquisitions: {describe_stacks(stacks)}")
    row, column, normal = _axes(headers[0])
    headers = sorted(headers, key=lambda h: float(np.dot(h.position_mm, normal)))
    image = _read_slices(headers)
    first, last = headers[0], headers[-1]
    height_mm = float(np.subtract(last.position_mm, first.position_mm) @ normal)
    gap_mm = height_mm / max(len(headers) - 1, 1) or first.thickness_mm or 1.0
    row_spacing_mm, column_spacing_mm = first.spacing_mm
    image.SetSpacing((column_spacing_mm, row_spacing_mm, gap_mm))
    image.SetOrigin(first.position_mm)
    image.SetDirection(np.column_stack([row, column, normal]).ravel().tolist())
    return straighten(image, [h.position_mm for h in headers]) if correct_tilt else image


def _check_one_series(headers: Sequence[SliceHeader], n_unreadable: int) -> None:
    if n_unreadable:
        raise VolumeError(f"{n_unreadable} files are no DICOM, or are damaged")
    if not headers:
        raise VolumeError("There is no DICOM file of the series in the folder")
    if not all(h.position_mm and h.cosines and h.spacing_mm for h in headers):
        raise VolumeError("The files do not say where their slices lie")
    counted = {
        "series": len({h.series for h in headers}),
        "sizes or spacings of slices": _n_different(_slice_grid(h) for h in headers),
        "directions of slices": _n_different(h.cosines for h in headers),
        "values a voxel": max(h.n_values for h in headers),
        "frames a file": max(h.n_frames for h in headers),
    }
    if wrong := [f"{number} {what}" for what, number in counted.items() if number > 1]:
        raise VolumeError(f"This is no series of slices: there are {', '.join(wrong)}")


def _read_slices(headers: Sequence[SliceHeader]) -> sitk.Image:
    """Stack the files' slices in HU, without the headers' texts."""
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")  # It reads files without preamble, if it is asked at all.
    reader.SetFileNames([str(h.path) for h in headers])
    pixel_type = _pixel_type({h.rescale for h in headers}, {h.stored for h in headers})
    if pixel_type is not None:
        reader.SetOutputPixelType(pixel_type)
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


def _pixel_type(rescales: set[tuple[float, float]], stored: set[Numbers]) -> int | None:
    """The type that holds all slices' HU; None leaves it to GDCM, which looks at the first."""
    if not all(value.is_integer() for rescale in rescales for value in rescale):
        return sitk.sitkFloat32
    return None if len(rescales) == len(stored) == 1 else sitk.sitkInt32


def _slice_grid(header: SliceHeader) -> Numbers:
    return header.size + header.spacing_mm


def _n_different(several: Iterable[Numbers]) -> int:
    kinds: list[Numbers] = []
    for values in set(several):
        same = (len(k) == len(values) and np.allclose(k, values, rtol=0, atol=_SAME) for k in kinds)
        if not any(same):
            kinds.append(values)
    return len(kinds)


def _axes(header: SliceHeader) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors along a row, along a column, and across the slice."""
    row, column = np.reshape(header.cosines, (2, 3))
    across = np.cross(row, column)
    return (
        row / np.linalg.norm(row),
        column / np.linalg.norm(column),
        across / np.linalg.norm(across),
    )


def _inspect_positions(positions_mm: np.ndarray, normal: np.ndarray) -> Facts:
    heights_mm = positions_mm @ normal
    order = np.argsort(heights_mm, kind="stable")
    gaps_mm = np.diff(heights_mm[order])
    apart = gaps_mm > SAME_POSITION_MM
    facts: Facts = {
        "n_slices": int(apart.sum()) + 1,
        "n_missing_slices": 0,
        "irregularity_mm": 0.0,
    }
    if not apart.any():
        return facts
    gaps_mm = gaps_mm[apart]
    usual_mm = float(np.median(gaps_mm))
    steps = np.maximum(np.rint(gaps_mm / usual_mm), 1)
    from_first_mm = positions_mm - positions_mm[order[0]]
    way_mm = from_first_mm[order[-1]]
    line = way_mm / (way_mm @ normal)  # for each mm of height
    off_line_mm = from_first_mm - np.outer(from_first_mm @ normal, line)
    irregularity_mm = max(
        np.abs(gaps_mm - steps * usual_mm).max(), np.linalg.norm(off_line_mm, axis=1).max()
    )
    cosine = min(1.0, 1 / float(np.linalg.norm(line)))
    return facts | {
        "n_missing_slices": int((steps - 1).sum()),
        "irregularity_mm": round(float(irregularity_mm), _DECIMALS),
        "tilt_degrees": round(math.degrees(math.acos(cosine)), 2),
    }
