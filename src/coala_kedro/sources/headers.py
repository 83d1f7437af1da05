"""Reading a few elements of DICOM headers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

# What pydicom cannot make sense of it shows, and headers hold who somebody is.
logging.getLogger("pydicom").setLevel(logging.ERROR)


def read_header(path: Path, keywords: Iterable[str]) -> pydicom.Dataset | None:
    """The named elements of a DICOM file; None if it is none.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return pydicom.dcmread(path, specific_tags=list(keywords), stop_before_pixels=True)
    except (InvalidDicomError, EOFError, ValueError):
        return None
