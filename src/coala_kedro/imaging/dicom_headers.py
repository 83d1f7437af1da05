"""What the headers of DICOM images say, by an allow-list; nothing else of them is ever read.

Headers hold who somebody is, and pydicom shows what it cannot make sense of in errors and
warnings: none of either leaves this module or `dicom_files`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage
from pydicom.valuerep import TM

from coala_kedro.imaging.dicom_claims import Claims, read_claims

HEADER_TAGS = (
    # What kind of image it is, and which belong together.
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "NumberOfFrames", "SeriesNumber", "SeriesDescription", "InstanceNumber",
    "AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime",
    "ConvolutionKernel",
    # The grid.
    "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "SliceThickness",
    # The voxels.
    "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "PixelData",
    # The scanner, by which results are grouped.
    "Manufacturer", "ManufacturerModelName",
)  # fmt: skip
"""All that is read of a header beside `CLAIM_TAGS`. Nothing that tells somebody is written."""

_PIXELS = Tag("PixelData")
_NOT_TOLD = 0xFFFFFFFF
_END_OF_FRAMES = bytes.fromhex("feffdde000000000")
_CT = "CT"
_MAX_MATRIX = 8192
"""Rows or columns: no scanner makes half as many, and a header can promise 65535 of each."""
_COSINE_TOLERANCE = 0.01
"""Above what some scanners round to, below any angle that somebody would choose."""

Numbers = tuple[float, ...]


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
        stored: Bits of a value, and whether it is signed.
        size: Rows, columns.
        spacing_mm: Between rows, between columns.
        position_mm: Of the first voxel's centre (xyz, LPS).
        cosines: Direction along a row, then along a column (xyz, LPS); of length 1, at right
            angles.
        thickness_mm: Of the slice; 0 if it is not told.
        claims: What else it says, to be compared only.
        scanner: Manufacturer and model.
        instance: UID of the image, to be compared only.
        frame_of_reference: UID, to be compared only.
        number: Of the series; None if it is not told.
        description: Of the series; it may name somebody.
        instance_number: In the series.
        acquisition: Its number.
        temporal_position: As told by dynamic scans.
        time_s: Of the acquisition, else of the content; after midnight.
        image_type: Joined by `/`.
        kernel: Of the reconstruction.
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
    stored: Numbers
    size: Numbers
    spacing_mm: Numbers
    position_mm: Numbers
    cosines: Numbers
    thickness_mm: float
    claims: Claims
    scanner: str
    instance: str
    frame_of_reference: str
    number: int | None
    description: str
    instance_number: int | None
    acquisition: int | None
    temporal_position: int | None
    time_s: float | None
    image_type: str
    kernel: str


def read_slice_header(header: pydicom.Dataset, path: Path) -> SliceHeader:
    """Read `HEADER_TAGS` and `CLAIM_TAGS` of an image.

    Raises:
        Exception: The file is cut off, or its values make no sense; of whatever type.
    """
    if not _is_whole(header, path):
        raise ValueError("The file is cut off.")
    if max((0.0, *_numbers(header, "Rows"), *_numbers(header, "Columns"))) > _MAX_MATRIX:
        raise ValueError("No CT has so many rows or columns.")
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
        stored=_numbers(header, "BitsStored") + _numbers(header, "PixelRepresentation"),
        size=_numbers(header, "Rows") + _numbers(header, "Columns"),
        spacing_mm=_spacing_mm(header),
        position_mm=_numbers(header, "ImagePositionPatient", 3),
        cosines=_cosines(header),
        thickness_mm=max((0.0, *_numbers(header, "SliceThickness"))),
        claims=read_claims(header),
        scanner=" ".join(_texts(header, "Manufacturer") + _texts(header, "ManufacturerModelName")),
        instance="".join(_texts(header, "SOPInstanceUID")),
        frame_of_reference="".join(_texts(header, "FrameOfReferenceUID")),
        number=_whole_number(header, "SeriesNumber"),
        description=" ".join(_texts(header, "SeriesDescription")),
        instance_number=_whole_number(header, "InstanceNumber"),
        acquisition=_whole_number(header, "AcquisitionNumber"),
        temporal_position=_whole_number(header, "TemporalPositionIdentifier"),
        time_s=_time_s(header),
        image_type="/".join(_texts(header, "ImageType")),
        kernel="/".join(_texts(header, "ConvolutionKernel")),
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
    # And as a whole: zlib had told.
    deflated = bool(_syntax(header)) and _syntax(header).is_deflated
    return deflated or pixels.value_tell + pixels.length <= path.stat().st_size


def _pixel_bytes(header: pydicom.Dataset) -> int:
    """Bytes that the pixels must have, if they are not compressed."""
    if _syntax(header) and _syntax(header).is_compressed:
        return 0
    values = _count(header, "SamplesPerPixel") * _count(header, "NumberOfFrames")
    return int(header.Rows) * int(header.Columns) * values * int(header.BitsAllocated) // 8


def _syntax(header: pydicom.Dataset) -> UID:
    """The transfer syntax; empty where there is no file meta information: not compressed."""
    return UID(header.file_meta.get("TransferSyntaxUID", ""))


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


def _whole_number(header: pydicom.Dataset, keyword: str) -> int | None:
    """A number that tells slices apart and places none: without sense it is as if not there."""
    try:
        return int(_texts(header, keyword)[0])
    except (IndexError, ValueError):
        return None


def _time_s(header: pydicom.Dataset) -> float | None:
    for keyword in ("AcquisitionTime", "ContentTime"):
        try:
            time = TM(_texts(header, keyword)[0])
        except (IndexError, ValueError):
            continue
        if time is not None:
            return time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6
    return None


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
