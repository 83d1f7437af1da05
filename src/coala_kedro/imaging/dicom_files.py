"""Kinds of files in a folder of DICOM images, and what may be shown of them."""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import VR

from coala_kedro.imaging.dicom_headers import (
    HEADER_TAGS,
    PERSON_TAGS,
    SliceHeader,
    read_slice_header,
)
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.modalities import modality_name
from coala_kedro.imaging.silence import no_warnings
from coala_kedro.imaging.untrusted import check_deflated

# What they log names files and shows headers, which at times name patients.
for _library in ("pydicom", "highdicom"):
    logging.getLogger(_library).setLevel(logging.ERROR)

_SLICE_SUFFIXES = {".dcm", ".dicom", ".dic", ".ima"}
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

_PREFIX, _PREFIX_PLACE = b"DICM", 128
_FIRST_GROUPS = {b"\x02\x00": "little", b"\x08\x00": "little", b"\x00\x08": "big"}
_IMPLICIT_LENGTH = 1024
"""More bytes than the first element of a data set without value representations has."""

_PIXELS = Tag("PixelData")


@dataclass(frozen=True)
class FolderContent:
    """The files of a folder by kind.

    Attributes:
        headers: Of the images, in order of the files' names.
        n_unreadable: Slices that cannot be read: cut off, of values without sense, or files that
            are no DICOM but are named like a slice.
        others: What is no image, counted, in words: modalities of other DICOM objects, names or
            endings of other files, as far as they can be nobody's, and folders.
    """

    headers: tuple[SliceHeader, ...]
    n_unreadable: int
    others: str


def read_folder(folder: Path) -> FolderContent:
    """Read the headers of a folder's files, without those of hidden files.

    The last folders that were read are kept: one that did not change is not read again.

    Args:
        folder: The folder; its subfolders are counted, not read.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    listed = [(path, path.stat()) for path in files if path.is_file()]
    return _read_files(
        tuple((path, stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in listed),
        n_folders=sum(path.is_dir() and any(path.iterdir()) for path in files),
    )


@functools.lru_cache(maxsize=4)
def _read_files(files: tuple[tuple[Path, int, int, int], ...], n_folders: int) -> FolderContent:
    headers: list[SliceHeader] = []
    strays: list[Path] = []
    others: Counter[str] = Counter({"folders": n_folders} if n_folders else {})
    n_unreadable = 0
    for path, *_ in files:
        try:
            with no_warnings():
                header = open_dicom(path, (*HEADER_TAGS, *PERSON_TAGS))
                if header is None:
                    strays.append(path)
                elif _is_image(header):
                    headers.append(read_slice_header(header, path))
                else:
                    modality = modality_name(str(header.get("Modality", "")))
                    others["other DICOM objects" if modality == "unknown" else modality] += 1
        except Exception:  # Of whatever type, wherever the wrong bytes lead pydicom.
            n_unreadable += 1
    shapes = {name_shape(header.path) for header in headers}
    for path in strays:
        # An interrupted copy leaves empty files, or files of zeros, where slices were to be.
        if path.suffix.lower() in _SLICE_SUFFIXES or name_shape(path) in shapes:
            n_unreadable += 1
        else:
            others[_shown_name(path)] += 1
    in_words = ", ".join(f"{n} {what}" for what, n in sorted(others.items()))
    return FolderContent(tuple(headers), n_unreadable, in_words)


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
        start = file.read(_PREFIX_PLACE + len(_PREFIX))
    has_prefix = start[_PREFIX_PLACE:] == _PREFIX
    if not has_prefix and not _begins_as_data_set(start):
        return None
    check_deflated(path)
    header = pydicom.dcmread(path, force=not has_prefix, defer_size=1024, specific_tags=[*tags])
    return header if has_prefix or len(header) else None


def is_copy(one: SliceHeader, other: SliceHeader) -> bool:
    """Whether two slices are the same image, or have the same stored pixels.

    Args:
        one: A slice.
        other: Another slice at the same place.
    """
    if one.instance and one.instance == other.instance:
        return True
    try:
        with no_warnings():
            first, second = (
                pydicom.dcmread(header.path, force=True, specific_tags=["PixelData"])
                for header in (one, other)
            )
        return bool(first.PixelData == second.PixelData)
    except Exception:  # As above; then nothing says that they are the same.
        return False


def name_shape(path: Path) -> str:
    """What the names of files numbered in one way have in common, such as `im0000.dcm`.

    Args:
        path: A file; its name alone counts.
    """
    name = path.name.lower()
    if re.fullmatch(r"[0-9a-f.-]{8,}", name):
        return "hexadecimal"
    return re.sub(r"\d+", "0", name)


@contextmanager
def errors_without_content(message: str) -> Iterator[None]:
    """Turn errors, of whatever type wrong bytes lead to, into one that does not show the bytes.

    Args:
        message: What is wrong.

    Raises:
        VolumeError: There was an error; a `VolumeError` is kept as it is.
    """
    try:
        with no_warnings():
            yield
    except VolumeError:
        raise
    except Exception as error:
        raise VolumeError(f"{message} ({type(error).__name__})") from None


def _begins_as_data_set(start: bytes) -> bool:
    """Whether the first element can be one of file meta information or of group 8."""
    order = _FIRST_GROUPS.get(start[:2])
    if order is None or len(start) <= _PREFIX_PLACE:
        return False
    if start[4:6].decode("latin-1") in VR.__members__:
        return True
    return order == "little" and int.from_bytes(start[4:8], "little") < _IMPLICIT_LENGTH


def _is_image(header: pydicom.Dataset) -> bool:
    """Whether it is, or was to be, an image: no report, plan, segmentation, directory, ..."""
    kind = UID(str(header.get("SOPClassUID", "")))
    if kind.name != kind:  # pydicom knows the class
        return "Image Storage" in kind.name
    if kind and kind.is_private:
        return _PIXELS in header  # such as raw data beside a scanner's series
    return _PIXELS in header or header.get("Modality", "CT") == "CT"


def _shown_name(path: Path) -> str:
    """What may be shown of a file's name, which may be a patient's."""
    name, suffix = path.name.lower(), path.suffix.lower()
    if name in _SHOWN_NAMES:
        return path.name
    return suffix if suffix in _SHOWN_SUFFIXES else "other files"
