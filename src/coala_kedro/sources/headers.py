"""Reading a few elements of DICOM headers."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path

import pydicom

from coala_kedro.imaging.dicom_files import open_dicom
from coala_kedro.imaging.untrusted import file_fault


def read_header(path: Path, keywords: Collection[str]) -> pydicom.Dataset | None:
    """The named elements of a DICOM file; None if it is none.

    Raises:
        OSError: The file cannot be read.
    """
    if fault := file_fault(path):
        raise OSError(fault)
    try:
        with warnings.catch_warnings(action="ignore"):
            return open_dicom(path, keywords)
    except OSError:
        raise
    except Exception:  # Of whatever type, wherever wrong bytes lead pydicom.
        return None
