"""CT from a DICOM series.

SimpleITK reads a series with a missing slice, a tilt or a slice twice with a warning at most and
a wrong geometry, so positions are measured by `dicom_inspection` before anything is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.dicom_files import read_folder
from coala_kedro.imaging.dicom_headers import SliceHeader
from coala_kedro.imaging.dicom_inspection import inspect_slices
from coala_kedro.imaging.dicom_origin import Origin
from coala_kedro.imaging.dicom_stacks import SeriesChoice, choose_stacks, describe_stacks
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.planes import straighten
from coala_kedro.imaging.untrusted import size_fault

_BYTES_A_VOXEL = 2


def series_origin(folder: Path, choice: SeriesChoice | None = None) -> Origin:
    """The UIDs of a series, by which it is known what a segmentation was drawn on.

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

    Gaps are not looked at, see `dicom_inspection.inspect_series`: their mean is the spacing.

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
    promised = sum(math.prod(h.size) * h.n_frames * h.n_values * _BYTES_A_VOXEL for h in headers)
    if fault := size_fault(int(promised), int(promised)):
        raise VolumeError(fault)
    if len(stacks) > 1:
        raise VolumeError(f"There are {len(stacks)} acquisitions: {describe_stacks(stacks)}")
    axes = headers[0].axes
    headers.sort(key=lambda h: float(np.dot(h.position_mm, axes[2])))
    image = _read_slices(headers)
    first, last = headers[0], headers[-1]
    height_mm = float(np.subtract(last.position_mm, first.position_mm) @ axes[2])
    gap_mm = height_mm / max(len(headers) - 1, 1) or first.slice_thickness_mm or 1.0
    row_spacing_mm, column_spacing_mm = first.spacing_mm
    image.SetSpacing((column_spacing_mm, row_spacing_mm, gap_mm))
    image.SetOrigin(first.position_mm)
    image.SetDirection(axes.T.ravel().tolist())
    return straighten(image, [h.position_mm for h in headers]) if correct_tilt else image


def _check_one_series(headers: Sequence[SliceHeader], n_unreadable: int) -> None:
    if n_unreadable:
        raise VolumeError(f"{n_unreadable} files are no DICOM, or are damaged")
    if not headers:
        raise VolumeError("There is no DICOM file of the series in the folder")
    if not all(h.position_mm and h.cosines and h.spacing_mm for h in headers):
        raise VolumeError("The files do not say where their slices lie")
    facts = inspect_slices(headers)
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
