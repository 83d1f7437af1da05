"""Which files of a folder are DICOM images, and what may be told of the others."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path

import pydicom
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import VR

from coala_kedro.imaging.modalities import modality_name
from coala_kedro.imaging.silence import no_warnings
from coala_kedro.imaging.untrusted import check_deflated

# What pydicom logs names the file, and folders are at times named after patients.
logging.getLogger("pydicom").setLevel(logging.ERROR)

SLICE_SUFFIXES = {".dcm", ".dicom", ".dic", ".ima"}
_SHOWN_NAMES = {
    "autorun.inf", "desktop.ini", "dicomdir", "license", "readme", "thumbs.db", "version",
}  # fmt: skip
_SHOWN_SUFFIXES = {
    ".7z", ".bat", ".bmp", ".cfg", ".csv", ".dat", ".db", ".dll", ".doc", ".docx", ".exe", ".gif",
    ".gz", ".htm", ".html", ".ico", ".inf", ".ini", ".jar", ".jpeg", ".jpg", ".js", ".json", ".lnk",
    ".log", ".md", ".nii", ".nrrd", ".part", ".pdf", ".png", ".rar", ".rtf", ".tif", ".tiff",
    ".tmp", ".txt", ".url", ".xls", ".xlsx", ".xml", ".zip",
}  # fmt: skip
"""Names and endings that are nobody's, so that they may be shown."""

_MARK, _MARK_PLACE = b"DICM", 128
_FIRST_GROUPS = {b"\x02\x00": "little", b"\x08\x00": "little", b"\x00\x08": "big"}
_IMPLICIT_LENGTH = 1024
"""More bytes than the first element of a data set without value representations has."""

_PIXELS = Tag("PixelData")
_CT = "CT"


def open_dicom(path: Path, tags: Collection[str]) -> pydicom.Dataset | None:
    """Read elements of a DICOM file, with or without preamble and file meta information.

    Args:
        path: The file.
        tags: Keywords of the elements; no other is read.

    Returns:
        The data set; None if the file is no DICOM.

    Raises:
        Exception: Of whatever type, where wrong bytes lead pydicom.
    """
    with path.open("rb") as file:
        start = file.read(_MARK_PLACE + len(_MARK))
    marked = start[_MARK_PLACE:] == _MARK
    if not marked and not _begins_as_data_set(start):
        return None
    check_deflated(path)
    header = pydicom.dcmread(path, force=not marked, defer_size=1024, specific_tags=[*tags])
    return header if marked or len(header) else None


def same_pixels(one: Path, other: Path) -> bool:
    """Whether two files have the same pixels, byte for byte as they are stored."""
    try:
        with no_warnings():
            first, second = (
                pydicom.dcmread(path, force=True, specific_tags=["PixelData"])
                for path in (one, other)
            )
        return bool(first.PixelData == second.PixelData)
    except Exception:  # As above; then nothing says that they are the same.
        return False


def _begins_as_data_set(start: bytes) -> bool:
    """Whether the first element can be one of file meta information or of group 8."""
    order = _FIRST_GROUPS.get(start[:2])
    if order is None or len(start) <= _MARK_PLACE:
        return False
    if start[4:6].decode("latin-1") in VR.__members__:
        return True
    return order == "little" and int.from_bytes(start[4:8], "little") < _IMPLICIT_LENGTH


def is_image(header: pydicom.Dataset) -> bool:
    """Whether it is, or was to be, an image: no report, plan, segmentation, directory, ..."""
    kind = UID(str(header.get("SOPClassUID", "")))
    if kind.name != kind:  # pydicom knows the class
        return "Image Storage" in kind.name
    if kind and kind.is_private:
        return _PIXELS in header  # such as raw data beside a scanner's series
    return _PIXELS in header or header.get("Modality", _CT) == _CT


def shown_modality(header: pydicom.Dataset) -> str:
    """What kind of object it is, as far as it is a known kind."""
    modality = modality_name(str(header.get("Modality", "")))
    return "other DICOM objects" if modality == "unknown" else modality


def shown_name(path: Path) -> str:
    """What may be shown of a file's name, which may be a patient's."""
    name, suffix = path.name.lower(), path.suffix.lower()
    if name in _SHOWN_NAMES:
        return path.name
    return suffix if suffix in _SHOWN_SUFFIXES else "other files"


def name_shape(path: Path) -> str:
    """What is equal for the names of files that are numbered in one way."""
    name = path.name.lower()
    if re.fullmatch(r"[0-9a-f.-]{8,}", name):
        return "hexadecimal"
    return re.sub(r"\d+", "0", name)
