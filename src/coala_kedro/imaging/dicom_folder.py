"""What the files of a folder of DICOM images are."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from coala_kedro.imaging.dicom_claims import CLAIM_TAGS
from coala_kedro.imaging.dicom_files import (
    SLICE_SUFFIXES,
    is_image,
    name_shape,
    open_dicom,
    shown_modality,
    shown_name,
)
from coala_kedro.imaging.dicom_headers import HEADER_TAGS, SliceHeader, read_slice_header
from coala_kedro.imaging.silence import no_warnings


@dataclass(frozen=True)
class FolderContent:
    """What the files of a folder are.

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


def read_headers(folder: Path) -> FolderContent:
    """Read the headers of a folder's files; hidden ones are left out.

    What was read last is kept: a folder that did not change is not read again.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    listed = [(path, path.stat()) for path in files if path.is_file()]
    return _read_headers(
        tuple((path, stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in listed),
        n_folders=sum(path.is_dir() and any(path.iterdir()) for path in files),
    )


@functools.lru_cache(maxsize=4)
def _read_headers(files: tuple[tuple[Path, int, int, int], ...], n_folders: int) -> FolderContent:
    headers: list[SliceHeader] = []
    strays: list[Path] = []
    others: Counter[str] = Counter({"folders": n_folders} if n_folders else {})
    n_unreadable = 0
    for path, *_ in files:
        try:
            with no_warnings():
                header = open_dicom(path, (*HEADER_TAGS, *CLAIM_TAGS))
                if header is None:
                    strays.append(path)
                elif is_image(header):
                    headers.append(read_slice_header(header, path))
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
