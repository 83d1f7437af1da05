"""Reading a few elements of DICOM headers."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pydicom

from coala_kedro.imaging.dicom_files import open_dicom
from coala_kedro.imaging.silence import no_warnings
from coala_kedro.imaging.untrusted import file_fault


def read_header(path: Path, keywords: Collection[str]) -> pydicom.Dataset | None:
    """The named elements of a DICOM file; None if it is none.

    Raises:
        OSError: The file cannot be read.
    """
    if fault := file_fault(path):
        raise OSError(fault)
    try:
        with no_warnings():
            header = open_dicom(path, keywords)
            return _decoded(header) if header else header
    except OSError:
        raise
    except Exception:  # Of whatever type, wherever wrong bytes lead pydicom.
        return None


def _decoded(header: pydicom.Dataset) -> pydicom.Dataset:
    """The same, decoded now: warnings quote what is decoded."""
    for tag in [*header.keys()]:
        with suppress(Exception):  # Whoever asks for it is told.
            header[tag]
    return header


def segment_labels(path: Path) -> list[str]:
    """Labels of the segments of a DICOM segmentation; none if the file is none."""
    header = read_header(path, ["SegmentSequence"]) or pydicom.Dataset()
    with no_warnings():
        return [str(s.get("SegmentLabel", "")) for s in header.get("SegmentSequence", [])]
