"""DICOM series: what the headers tell, and the CT.

SimpleITK reads a series with a missing slice, a tilt or a slice twice with a warning at most and
a wrong geometry, so positions are measured here before anything is read. Headers hold who somebody
is: only what `HEADER_TAGS` lists is ever read of them.
"""

from __future__ import annotations

import logging
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage

from coala_kedro.imaging.files import VolumeError

HEADER_TAGS = (
    # What kind of image it is, and which belong together.
    "SOPClassUID", "SeriesInstanceUID", "Modality", "ImageType", "NumberOfFrames",
    # The grid.
    "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "SliceThickness",
    # The voxels.
    "SamplesPerPixel", "BitsAllocated", "RescaleSlope", "RescaleIntercept", "PixelData",
    # The scanner, by which results are grouped.
    "Manufacturer", "ManufacturerModelName",
)  # fmt: skip
"""All that is read of a header. UIDs are compared in memory and go nowhere."""

_OTHER_SUFFIXES = {
    ".csv", ".gz", ".htm", ".html", ".jpg", ".json", ".md", ".nii", ".pdf", ".png", ".txt", ".xml",
}  # fmt: skip
_DIRECTORY = "DICOMDIR"
_PIXELS = Tag("PixelData")
_NOT_TOLD = 0xFFFFFFFF
_END_OF_FRAMES = bytes.fromhex("feffdde000000000")
_CT = "CT"
_SAME_POSITION_MM = 0.01
_DECIMALS = 4
"""Headers hold decimal text: directions and spacings that agree to so many places are the same."""

Facts = dict[str, bool | int | float | str]

# pydicom's warnings name the file, and folders are at times named after patients.
logging.getLogger("pydicom").setLevel(logging.ERROR)


@dataclass(frozen=True)
class _Slices:
    """The files of a folder that are DICOM images, and how many more cannot be read."""

    files: list[Path]
    headers: list[pydicom.Dataset]
    n_unreadable: int


def inspect_series(folder: Path) -> Facts:
    """Measure a series by its headers alone; whatever is in the folder, it raises nothing.

    Args:
        folder: Folder of the files; hidden ones, a DICOMDIR, texts and pictures are left out.

    Returns:
        `n_files`, `n_unreadable_files` (no DICOM, or cut off); of the readable ones `n_series`,
        `modality`, `samples_per_pixel`, `is_localizer`, `is_secondary_capture`, `is_multiframe`,
        `has_rescale`, `n_slice_grids` (different rows, columns or spacings), `n_orientations`;
        where there are positions `n_slices` (different ones), `n_duplicate_slices`,
        `n_missing_slices`, `irregularity_mm` (largest departure of a gap from whole multiples of
        the usual one), `tilt_degrees` (between the slices' normal and the way from the first to
        the last); and where the headers say so `slice_thickness_mm`, `scanner`.
    """
    slices = _read_headers(folder)
    facts: Facts = {
        "n_files": len(slices.files) + slices.n_unreadable,
        "n_unreadable_files": slices.n_unreadable,
    }
    if not slices.headers:
        return facts
    headers = slices.headers
    facts |= {
        "n_series": len(_different(headers, "SeriesInstanceUID")),
        "modality": "/".join(sorted(map(str, _different(headers, "Modality")))),
        "samples_per_pixel": max(int(h.get("SamplesPerPixel", 1)) for h in headers),
        "is_localizer": any("LOCALIZER" in (h.get("ImageType") or ()) for h in headers),
        "is_secondary_capture": any(_is_secondary_capture(h) for h in headers),
        "is_multiframe": any(int(h.get("NumberOfFrames") or 1) > 1 for h in headers),
        "has_rescale": all("RescaleSlope" in h and "RescaleIntercept" in h for h in headers),
        "n_slice_grids": len({_slice_grid(h) for h in headers}),
        "n_orientations": len({_orientation(h) for h in headers}),
    }
    if all(h.get("ImagePositionPatient") and h.get("ImageOrientationPatient") for h in headers):
        facts |= _inspect_positions(_positions(headers), _normal(headers[0]))
    return facts | _described(headers)


def read_series(folder: Path) -> sitk.Image:
    """Read a series (xyz, LPS, mm, HU); slices in order of their positions, whatever their names.

    Gaps are not looked at, see `inspect_series`: their mean is the spacing.

    Returns:
        CT of the type that GDCM reads, or 32-bit floating point where a rescale is not of whole
        numbers; nothing else of the headers.

    Raises:
        VolumeError: There is no series, or more than one; slices differ in size or direction, or
            have several values a voxel; a file is damaged.
    """
    slices = _read_headers(folder)
    _check_one_series(slices)
    normal = _normal(slices.headers[0])
    positions = _positions(slices.headers)
    order = np.argsort(positions @ normal, kind="stable")
    first = slices.headers[order[0]]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(slices.files[i]) for i in order])
    pixel_type = _pixel_type(slices.headers)
    if pixel_type is not None:
        reader.SetOutputPixelType(pixel_type)
    reader.SetGlobalWarningDisplay(False)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise VolumeError(f"The series cannot be read: {_reason(error)}") from None
    height_mm = float((positions[order[-1]] - positions[order[0]]) @ normal)
    thickness_mm = float(first.get("SliceThickness") or 1.0)
    gap_mm = height_mm / (len(order) - 1) if len(order) > 1 else thickness_mm
    row_spacing, column_spacing = map(float, first.PixelSpacing)
    image.SetSpacing((column_spacing, row_spacing, gap_mm or thickness_mm))
    image.SetOrigin(positions[order[0]].tolist())
    image.SetDirection(np.column_stack([*_axes(first), normal]).ravel().tolist())
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def _read_headers(folder: Path) -> _Slices:
    files, headers, n_unreadable = [], [], 0
    for path in sorted(folder.iterdir()):
        named_otherwise = path.name == _DIRECTORY or path.suffix.lower() in _OTHER_SUFFIXES
        if path.name.startswith(".") or named_otherwise or not path.is_file():
            continue
        header = _read_header(path)
        if header is None:
            n_unreadable += 1
        else:
            files.append(path)
            headers.append(header)
    return _Slices(files, headers, n_unreadable)


def _read_header(path: Path) -> pydicom.Dataset | None:
    """Read a header; None if the file is no DICOM, or is cut off."""
    try:
        with warnings.catch_warnings(action="ignore"):  # They name the file.
            header = pydicom.dcmread(path, defer_size=1024, specific_tags=list(HEADER_TAGS))
            return header if _is_whole(header, path) else None
    except (InvalidDicomError, zlib.error, EOFError, OSError, ValueError, AttributeError):
        return None


def _is_whole(header: pydicom.Dataset, path: Path) -> bool:
    """Whether all pixels are there that the header tells of: what is missing is read as zeros."""
    if _PIXELS not in header:
        return header.get("Modality", _CT) != _CT  # Reports and plans have none.
    pixels: Any = header.get_item(_PIXELS, keep_deferred=True)
    if pixels.length == _NOT_TOLD:
        return path.read_bytes().rfind(_END_OF_FRAMES) >= pixels.value_tell
    if pixels.length < _pixel_bytes(header):
        return False
    deflated = header.file_meta.TransferSyntaxUID.is_deflated  # And as a whole: zlib had told.
    return deflated or pixels.value_tell + pixels.length <= path.stat().st_size


def _pixel_bytes(header: pydicom.Dataset) -> int:
    """Bytes that the pixels must have, if they are not compressed."""
    if header.file_meta.TransferSyntaxUID.is_compressed:
        return 0
    values = int(header.get("SamplesPerPixel", 1)) * int(header.get("NumberOfFrames") or 1)
    return int(header.Rows) * int(header.Columns) * values * int(header.BitsAllocated) // 8


def _different(headers: Sequence[pydicom.Dataset], keyword: str) -> set[Any]:
    return {header.get(keyword, "") for header in headers}


def _is_secondary_capture(header: pydicom.Dataset) -> bool:
    return UID(header.get("SOPClassUID") or "").startswith(SecondaryCaptureImageStorage)


def _slice_grid(header: pydicom.Dataset) -> tuple[Any, ...]:
    return (header.get("Rows"), header.get("Columns"), *_rounded(header.get("PixelSpacing")))


def _orientation(header: pydicom.Dataset) -> tuple[float, ...]:
    return _rounded(header.get("ImageOrientationPatient"))


def _rounded(values: Any) -> tuple[float, ...]:
    return tuple(round(float(value), _DECIMALS) + 0.0 for value in values or ())


def _positions(headers: Sequence[pydicom.Dataset]) -> np.ndarray:
    return np.array([header.ImagePositionPatient for header in headers], dtype=float)


def _axes(header: pydicom.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors along a row and along a column."""
    cosines = np.array(header.ImageOrientationPatient, dtype=float)
    row, column = cosines[:3], cosines[3:]
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _normal(header: pydicom.Dataset) -> np.ndarray:
    row, column = _axes(header)
    normal = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def _inspect_positions(positions: np.ndarray, normal: np.ndarray) -> Facts:
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    apart = gaps > _SAME_POSITION_MM
    facts: Facts = {
        "n_slices": int(apart.sum()) + 1,
        "n_duplicate_slices": int((~apart).sum()),
        "n_missing_slices": 0,
        "irregularity_mm": 0.0,
    }
    if not apart.any():
        return facts
    gaps = gaps[apart]
    usual = float(np.median(gaps))
    steps = np.maximum(np.rint(gaps / usual), 1)
    way = positions[order[-1]] - positions[order[0]]
    cosine = min(1.0, float(way @ normal) / float(np.linalg.norm(way)))
    return facts | {
        "n_missing_slices": int((steps - 1).sum()),
        "irregularity_mm": round(float(np.abs(gaps - steps * usual).max()), _DECIMALS),
        "tilt_degrees": round(math.degrees(math.acos(cosine)), 2),
    }


def _described(headers: Sequence[pydicom.Dataset]) -> Facts:
    facts: Facts = {}
    thickness = Counter(h.get("SliceThickness") for h in headers).most_common(1)[0][0]
    if thickness:
        facts["slice_thickness_mm"] = float(thickness)
    names = (headers[0].get("Manufacturer"), headers[0].get("ManufacturerModelName"))
    if any(names):
        facts["scanner"] = " ".join(str(name).strip() for name in names if name)
    return facts


def _check_one_series(slices: _Slices) -> None:
    if slices.n_unreadable:
        raise VolumeError(f"{slices.n_unreadable} files are no DICOM, or are cut off")
    if not slices.headers:
        raise VolumeError("There is no DICOM file in the folder")
    headers = slices.headers
    if not all(h.get("ImagePositionPatient") and h.get("PixelSpacing") for h in headers):
        raise VolumeError("The files do not say where their slices lie")
    counted = {
        "series": len(_different(headers, "SeriesInstanceUID")),
        "sizes or spacings of slices": len({_slice_grid(h) for h in headers}),
        "directions of slices": len({_orientation(h) for h in headers}),
        "values a voxel": max(int(h.get("SamplesPerPixel", 1)) for h in headers),
        "frames a file": max(int(h.get("NumberOfFrames") or 1) for h in headers),
    }
    if wrong := [f"{number} {what}" for what, number in counted.items() if number > 1]:
        raise VolumeError(f"This is no series of slices: there are {', '.join(wrong)}")


def _pixel_type(headers: Sequence[pydicom.Dataset]) -> int | None:
    """The type that holds all slices' HU; None leaves it to GDCM, which looks at the first."""
    scales = {
        (float(h.get("RescaleSlope", 1)), float(h.get("RescaleIntercept", 0))) for h in headers
    }
    if not all(value.is_integer() for scale in scales for value in scale):
        return sitk.sitkFloat32
    return None if len(scales) == 1 else sitk.sitkInt32


def _reason(error: RuntimeError) -> str:
    """What went wrong, without the file's path: folders are at times named after patients."""
    return str(error).strip().splitlines()[-1].rsplit(": ", maxsplit=1)[-1]
