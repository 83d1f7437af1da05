"""Headers of DICOM images: only the elements of an allow-list are ever read.

Headers hold who somebody is, and pydicom shows what it cannot make sense of in errors and
warnings: none of either leaves this module or `dicom_files`.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage
from pydicom.valuerep import TM

HEADER_TAGS = (
    # What kind of image it is, and which belong together.
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "NumberOfFrames", "SeriesNumber", "SeriesDescription", "InstanceNumber",
    "AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime",
    "ConvolutionKernel",
    # The grid.
    "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "SliceThickness", "SpacingBetweenSlices", "ImagerPixelSpacing",
    # The voxels.
    "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "PixelData",
    # The scanner, by which results are grouped.
    "Manufacturer", "ManufacturerModelName",
)  # fmt: skip
"""All that is read of a header beside `PERSON_TAGS`. Nothing that identifies anybody is written."""

_DATES = ("AcquisitionDate", "SeriesDate", "StudyDate")
PERSON_TAGS = ("PatientID", "PatientSex", "PatientAge", "PatientBirthDate", *_DATES)
"""All that is read of the person and the day, to be compared with the scan table in memory. Only a
letter, whole years, a number of persons and a difference of days are written."""

_FIRST_YEAR = 1971
"""The first CT; programs that hide dates write 1900."""
_AGES_YEARS = range(1, 111)
"""Others are what programs that hide ages write: `000Y`."""
_DAYS_A_UNIT = {"Y": 365.25, "M": 30.44, "W": 7.0, "D": 1.0}
_OTHER_UNITS = {
    "OD": "optical density", "HU_MOD": "modified Hounsfield units", "PCT": "percent",
    "MGML": "mg/mL", "Z_EFF": "effective atomic numbers", "ED": "electron densities",
    "EDW": "electron densities",
}  # fmt: skip
"""Defined terms of RescaleType (PS3.3 C.11.1.1.2) but for HU, and for US (unspecified), which
exporters write for HU too."""

_PIXELS = Tag("PixelData")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_END_OF_FRAMES = bytes.fromhex("feffdde000000000")
_MAX_MATRIX = 8192
"""Rows or columns: no scanner makes half as many, and a header can promise 65535 of each."""
_COSINE_TOLERANCE = 0.01
"""Above what some scanners round to, below any angle that somebody would choose."""

Numbers = tuple[float, ...]


@dataclass(frozen=True, repr=False)
class SliceHeader:
    """Elements of one slice's header; absent texts and numbers are empty, 0 or None.

    UIDs and the patient's ID are to be compared only; the description may name somebody.
    """

    path: Path
    series: str  # SeriesInstanceUID
    instance: str  # SOPInstanceUID
    frame_of_reference: str  # FrameOfReferenceUID
    modality: str  # several are joined by `/`
    image_type: str  # joined by `/`
    is_secondary_capture: bool  # a picture of a screen or the like
    n_values: int  # for each voxel; 3 in colour
    n_frames: int  # in the file
    has_rescale: bool  # whether stored values can be made HU
    rescale: tuple[float, float]  # slope and intercept; 1 and 0 where they are absent
    stored: Numbers  # bits of a value, and whether it is signed
    other_units: str  # of the values, in words, if they are no HU
    size: Numbers  # rows, columns
    spacing_mm: Numbers  # between rows, between columns
    imager_spacing_mm: Numbers  # the same at the detector: of no use for a CT
    position_mm: Numbers  # of the first voxel's centre (xyz, LPS)
    cosines: Numbers  # along a row, then along a column (xyz, LPS): unit vectors at right angles
    slice_thickness_mm: float  # of the slice
    between_mm: float  # from slice to slice, as SpacingBetweenSlices says
    scanner: str  # manufacturer and model
    number: int | None  # SeriesNumber
    description: str  # SeriesDescription
    instance_number: int | None
    acquisition: int | None  # AcquisitionNumber
    temporal_position: int | None  # TemporalPositionIdentifier
    time_s: float | None  # of the acquisition, else of the content, after midnight
    kernel: str  # ConvolutionKernel, joined by `/`
    patient: str  # PatientID
    sex: str  # `F` or `M`
    age_years: int | None  # PatientAge
    birth_age_years: int | None  # from the birth date to the scan's
    days: frozenset[datetime.date]  # of the acquisition, series and study

    @property
    def is_localizer(self) -> bool:
        """Whether it is a scanogram."""
        return "LOCALIZER" in self.image_type.split("/")

    @property
    def axes(self) -> np.ndarray:
        """Unit vectors along a row, along a column, and across the slice, in the array's rows."""
        row, column = np.reshape(self.cosines, (2, 3))
        axes = np.array([row, column, np.cross(row, column)])
        return np.asarray(axes / np.linalg.norm(axes, axis=1, keepdims=True))


def read_slice_header(header: pydicom.Dataset, path: Path) -> SliceHeader:
    """Read `HEADER_TAGS` and `PERSON_TAGS` of an image.

    Args:
        header: The elements.
        path: The file.

    Raises:
        Exception: The file is cut off, or its values make no sense; of whatever type.
    """
    if not _is_whole(header, path):
        raise ValueError("The file is cut off.")
    size = _numbers(header, "Rows") + _numbers(header, "Columns")
    if max(size, default=0) > _MAX_MATRIX:
        raise ValueError("No CT has so many rows or columns.")
    spacing_mm = _numbers(header, "PixelSpacing", 2)
    if min(spacing_mm, default=1) <= 0:
        raise ValueError("A spacing is not above 0.")
    cosines = _numbers(header, "ImageOrientationPatient", 6)
    axes = np.reshape(cosines, (-1, 3))
    if cosines and not np.allclose(axes @ axes.T, np.eye(2), atol=_COSINE_TOLERANCE):
        raise ValueError("Directions are not of length 1, or not at right angles.")
    slope, intercept = _numbers(header, "RescaleSlope"), _numbers(header, "RescaleIntercept")
    return SliceHeader(
        path=path,
        series=_text(header, "SeriesInstanceUID"),
        instance=_text(header, "SOPInstanceUID"),
        frame_of_reference=_text(header, "FrameOfReferenceUID"),
        modality=_text(header, "Modality"),
        image_type=_text(header, "ImageType"),
        # The newer classes for pictures of several frames continue its UID.
        is_secondary_capture=_text(header, "SOPClassUID").startswith(SecondaryCaptureImageStorage),
        n_values=_count(header, "SamplesPerPixel"),
        n_frames=_count(header, "NumberOfFrames"),
        has_rescale=bool(slope and slope[0] and intercept),
        rescale=((slope or (1.0,))[0], (intercept or (0.0,))[0]),
        stored=_numbers(header, "BitsStored") + _numbers(header, "PixelRepresentation"),
        other_units=_OTHER_UNITS.get(str(header.get("RescaleType", "")).strip(), ""),
        size=size,
        spacing_mm=spacing_mm,
        imager_spacing_mm=_numbers(header, "ImagerPixelSpacing", 2, optional=True),
        position_mm=_numbers(header, "ImagePositionPatient", 3),
        cosines=cosines,
        slice_thickness_mm=max((0.0, *_numbers(header, "SliceThickness"))),
        between_mm=abs(max(_numbers(header, "SpacingBetweenSlices", optional=True), default=0.0)),
        scanner=" ".join(_texts(header, "Manufacturer") + _texts(header, "ManufacturerModelName")),
        number=_whole_number(header, "SeriesNumber"),
        description=" ".join(_texts(header, "SeriesDescription")),
        instance_number=_whole_number(header, "InstanceNumber"),
        acquisition=_whole_number(header, "AcquisitionNumber"),
        temporal_position=_whole_number(header, "TemporalPositionIdentifier"),
        time_s=_time_s(header),
        kernel=_text(header, "ConvolutionKernel"),
        **_person(header),
    )


def age_years(text: str) -> int | None:
    """An age string of DICOM (PS3.5, AS) in whole years; None for no age.

    Args:
        text: Such as `063Y`.
    """
    found = re.fullmatch(r"(\d{1,3})([DWMY])", text)
    if not found:
        return None
    return _possible_age(int(int(found[1]) * _DAYS_A_UNIT[found[2]] / _DAYS_A_UNIT["Y"]))


def _person(header: pydicom.Dataset) -> dict[str, Any]:
    """Values of `PERSON_TAGS`; senseless ones count as absent."""
    texts = {keyword: str(header.get(keyword) or "").strip() for keyword in PERSON_TAGS}
    days = [day for keyword in _DATES if (day := _date(texts[keyword])) and day.year >= _FIRST_YEAR]
    born, sex = _date(texts["PatientBirthDate"]), texts["PatientSex"].upper()
    birth_age_years = None
    if born and days:
        before_birthday = (days[0].month, days[0].day) < (born.month, born.day)
        birth_age_years = _possible_age(days[0].year - born.year - before_birthday)
    return {
        "patient": texts["PatientID"],
        "sex": sex if sex in ("F", "M") else "",
        "age_years": age_years(texts["PatientAge"]),
        "birth_age_years": birth_age_years,
        "days": frozenset(days),
    }


def _date(text: str) -> datetime.date | None:
    """`20200102`, and `2020.01.02` of old files."""
    try:
        return datetime.datetime.strptime(text.replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None


def _possible_age(years: int) -> int | None:
    return years if years in _AGES_YEARS else None


def _is_whole(header: pydicom.Dataset, path: Path) -> bool:
    """Whether all pixels are there that the header promises: missing ones are read as zeros."""
    if _PIXELS not in header:
        return header.get("Modality", "CT") != "CT"  # Reports and plans have none.
    pixels: Any = header.get_item(_PIXELS, keep_deferred=True)
    if pixels.length == _UNDEFINED_LENGTH:
        return path.read_bytes().rfind(_END_OF_FRAMES) >= pixels.value_tell
    # Without file meta information there is no syntax: the pixels are not compressed.
    syntax = UID(header.file_meta.get("TransferSyntaxUID", ""))
    if not (syntax and syntax.is_compressed):
        values = _count(header, "SamplesPerPixel") * _count(header, "NumberOfFrames")
        bits = int(header.Rows) * int(header.Columns) * values * int(header.BitsAllocated)
        if pixels.length < bits // 8:
            return False
    # Of a deflated file zlib would have raised an error.
    deflated = bool(syntax) and syntax.is_deflated
    return deflated or pixels.value_tell + pixels.length <= path.stat().st_size


def _count(header: pydicom.Dataset, keyword: str) -> int:
    return max((1, *map(int, _numbers(header, keyword))))


def _whole_number(header: pydicom.Dataset, keyword: str) -> int | None:
    """A number that sorts slices but does not place them; a senseless one counts as absent."""
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


def _numbers(
    header: pydicom.Dataset, keyword: str, length: int = 1, *, optional: bool = False
) -> Numbers:
    """The finite numbers of an element, or none; with `optional` others count as absent.

    Raises:
        ValueError: There are other values.
    """
    values = _values(header, keyword)
    try:
        numbers = tuple(map(float, values))
        if numbers and (len(numbers) != length or not all(map(math.isfinite, numbers))):
            raise ValueError(f"{keyword} is not {length} numbers.")
    except (TypeError, ValueError):
        if optional:
            return ()
        raise
    return numbers


def _text(header: pydicom.Dataset, keyword: str) -> str:
    return "/".join(_texts(header, keyword))


def _texts(header: pydicom.Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(str(value).strip() for value in _values(header, keyword))


def _values(header: pydicom.Dataset, keyword: str) -> tuple[Any, ...]:
    value = header.get(keyword)
    several = tuple(value) if isinstance(value, MultiValue) else (value,)
    return tuple(one for one in several if one not in (None, ""))
