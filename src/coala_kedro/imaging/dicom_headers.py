"""What the headers of DICOM images say, by an allow-list; nothing else of them is ever read.

Headers hold who somebody is, and pydicom shows what it cannot make sense of in errors and
warnings: none of either leaves this module.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import SecondaryCaptureImageStorage

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
_COSINE_TOLERANCE = 0.01
"""Above what some scanners round to, below any angle that somebody would choose."""

Numbers = tuple[float, ...]

# What pydicom logs names the file, and folders are at times named after patients.
logging.getLogger("pydicom").setLevel(logging.ERROR)


@dataclass(frozen=True)
class SliceHeader:
    """What a header says; numbers that it does not say are empty.

    Attributes:
        path: The file.
        series: UID, to be compared only.
        modality: Several are joined by `/`.
        is_localizer: Whether it is a scanogram.
        is_secondary_capture: Whether it is a picture of a screen or the like.
        n_values: For each voxel; 3 in colour.
        n_frames: In the file.
        has_rescale: Whether stored values can be made HU.
        rescale: Slope and intercept; 1 and 0 where they are absent.
        size: Rows, columns.
        spacing_mm: Between rows, between columns.
        position_mm: Of the first voxel's centre (xyz, LPS).
        cosines: Direction along a row, then along a column (xyz, LPS); of length 1, at right
            angles.
        thickness_mm: Of the slice; 0 if it is not told.
        scanner: Manufacturer and model.
    """

    path: Path
    series: str
    modality: str
    is_localizer: bool
    is_secondary_capture: bool
    n_values: int
    n_frames: int
    has_rescale: bool
    rescale: tuple[float, float]
    size: Numbers
    spacing_mm: Numbers
    position_mm: Numbers
    cosines: Numbers
    thickness_mm: float
    scanner: str


def read_headers(folder: Path) -> tuple[list[SliceHeader], int]:
    """Read the headers of a folder's files.

    Args:
        folder: Hidden files, a DICOMDIR, texts and pictures in it are left out.

    Returns:
        Headers in order of the files' names, and how many files cannot be read: they are no
        DICOM, or cut off, or their values make no sense.
    """
    headers, n_unreadable = [], 0
    for path in sorted(folder.iterdir()):
        named_otherwise = path.name == _DIRECTORY or path.suffix.lower() in _OTHER_SUFFIXES
        if path.name.startswith(".") or named_otherwise or not path.is_file():
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                headers.append(_read_header(path))
        except Exception:  # Of whatever type, wherever the wrong bytes lead pydicom.
            n_unreadable += 1
    return headers, n_unreadable


def _read_header(path: Path) -> SliceHeader:
    header = pydicom.dcmread(path, defer_size=1024, specific_tags=list(HEADER_TAGS))
    if not _is_whole(header, path):
        raise ValueError("The file is cut off.")
    slope, intercept = _numbers(header, "RescaleSlope"), _numbers(header, "RescaleIntercept")
    return SliceHeader(
        path=path,
        series="".join(_texts(header, "SeriesInstanceUID")),
        modality="/".join(_texts(header, "Modality")),
        is_localizer="LOCALIZER" in _texts(header, "ImageType"),
        is_secondary_capture=any(
            # The newer classes for pictures of several frames continue it.
            uid.startswith(SecondaryCaptureImageStorage)
            for uid in _texts(header, "SOPClassUID")
        ),
        n_values=_count(header, "SamplesPerPixel"),
        n_frames=_count(header, "NumberOfFrames"),
        has_rescale=bool(slope and slope[0] and intercept),
        rescale=((slope or (1.0,))[0], (intercept or (0.0,))[0]),
        size=_numbers(header, "Rows") + _numbers(header, "Columns"),
        spacing_mm=_spacing_mm(header),
        position_mm=_numbers(header, "ImagePositionPatient", 3),
        cosines=_cosines(header),
        thickness_mm=max((0.0, *_numbers(header, "SliceThickness"))),
        scanner=" ".join(_texts(header, "Manufacturer") + _texts(header, "ManufacturerModelName")),
    )


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
    values = _count(header, "SamplesPerPixel") * _count(header, "NumberOfFrames")
    return int(header.Rows) * int(header.Columns) * values * int(header.BitsAllocated) // 8


def _spacing_mm(header: pydicom.Dataset) -> Numbers:
    spacing_mm = _numbers(header, "PixelSpacing", 2)
    if spacing_mm and min(spacing_mm) <= 0:
        raise ValueError("A spacing is not above 0.")
    return spacing_mm


def _cosines(header: pydicom.Dataset) -> Numbers:
    cosines = _numbers(header, "ImageOrientationPatient", 6)
    axes = np.reshape(cosines, (-1, 3))
    if cosines and not np.allclose(axes @ axes.T, np.eye(2), atol=_COSINE_TOLERANCE):
        raise ValueError("Directions are not of length 1, or not at right angles.")
    return cosines


def _count(header: pydicom.Dataset, keyword: str) -> int:
    return max((1, *map(int, _numbers(header, keyword))))


def _numbers(header: pydicom.Dataset, keyword: str, length: int = 1) -> Numbers:
    numbers = tuple(float(value) for value in _values(header, keyword))
    if numbers and (len(numbers) != length or not all(map(math.isfinite, numbers))):
        raise ValueError(f"{keyword} is not {length} numbers.")
    return numbers


def _texts(header: pydicom.Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(str(value).strip() for value in _values(header, keyword))


def _values(header: pydicom.Dataset, keyword: str) -> tuple[Any, ...]:
    value = header.get(keyword)
    several = tuple(value) if isinstance(value, MultiValue) else (value,)
    return tuple(one for one in several if one not in (None, ""))
