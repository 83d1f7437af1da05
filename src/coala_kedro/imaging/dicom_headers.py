"""What the headers of DICOM images say, by an allow-list; nothing else of them is ever read.

Headers hold who somebody is, and pydicom shows what it cannot make sense of in errors and
warnings: none of either leaves this module or `dicom_files`.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage
from pydicom.valuerep import TM

from coala_kedro.imaging.dicom_claims import CLAIM_TAGS, Claims, read_claims
from coala_kedro.imaging.dicom_files import (
    SLICE_SUFFIXES,
    is_image,
    name_shape,
    open_dicom,
    shown_modality,
    shown_name,
)

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
    "SamplesPerPixel", "BitsAllocated", "RescaleSlope", "RescaleIntercept", "PixelData",
    # The scanner, by which results are grouped.
    "Manufacturer", "ManufacturerModelName",
)  # fmt: skip
"""All that is read of a header beside `CLAIM_TAGS`. Nothing that tells somebody is written."""

_PIXELS = Tag("PixelData")
_NOT_TOLD = 0xFFFFFFFF
_END_OF_FRAMES = bytes.fromhex("feffdde000000000")
_CT = "CT"
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


@dataclass(frozen=True)
class FolderContent:
    """What the files of a folder are.

    Attributes:
        headers: Of the images, in order of the files' names.
        n_unreadable: Slices that cannot be read: cut off, of values without sense, or files that
            are no DICOM but are named like a slice.
        others: What is no image, counted, in words: modalities of other DICOM objects, and names
            or endings of other files, as far as they can be nobody's.
    """

    headers: tuple[SliceHeader, ...]
    n_unreadable: int
    others: str


def read_headers(folder: Path) -> FolderContent:
    """Read the headers of a folder's files; hidden ones are left out.

    What was read last is kept: a folder that did not change is not read again.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    listed = [(path, path.stat()) for path in files if path.is_file()]
    return _read_headers(
        tuple((path, stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in listed)
    )


@functools.lru_cache(maxsize=4)
def _read_headers(files: tuple[tuple[Path, int, int, int], ...]) -> FolderContent:
    headers: list[SliceHeader] = []
    strays: list[Path] = []
    others: Counter[str] = Counter()
    n_unreadable = 0
    for path, *_ in files:
        try:
            with warnings.catch_warnings(action="ignore"):
                header = open_dicom(path, (*HEADER_TAGS, *CLAIM_TAGS))
                if header is None:
                    strays.append(path)
                elif is_image(header):
                    headers.append(_slice_header(header, path))
                else:
                    others[shown_modality(header)] += 1
        except Exception:  # Of whatever type, wherever the wrong bytes lead pydicom.
            n_unreadable += 1
    shapes = {name_shape(header.path) for header in headers}
    for path in strays:
        # An interrupted copy leaves empty files, or files of zeros, where slices were to be.
        if path.suffix.lower() in SLICE_SUFFIXES or name_shape(path) in shapes:
            n_unreadable += 1
        else:
            others[shown_name(path)] += 1
    told = ", ".join(f"{n} {what}" for what, n in sorted(others.items()))
    return FolderContent(tuple(headers), n_unreadable, told)


def _slice_header(header: pydicom.Dataset, path: Path) -> SliceHeader:
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
