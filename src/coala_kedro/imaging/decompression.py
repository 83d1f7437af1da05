"""Files that may be compressed by gzip, whatever their names say."""

from __future__ import annotations

import gzip
from io import BufferedReader
from pathlib import Path


def open_decompressed(path: Path) -> gzip.GzipFile | BufferedReader:
    """The open file, decompressed if it is gzip.

    Args:
        path: A local file.

    Raises:
        OSError: It cannot be opened.
    """
    return gzip.open(path) if is_gzip(path) else path.open("rb")


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip does.

    Args:
        path: A local file.

    Raises:
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"
