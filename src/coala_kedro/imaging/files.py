"""Reading volumes from files, and telling a whole file from a damaged one."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import SimpleITK as sitk

_CHUNK_BYTES = 1 << 20


class VolumeError(ValueError):
    """A file holds no volume that can be used."""


def read_volume(path: str | Path) -> sitk.Image:
    """Read a volume (xyz, LPS, mm).

    Raises:
        VolumeError: The file is absent or no volume. A truncated one is not noticed: SimpleITK
            reads what is missing as zeros; see `read_whole_volume`.
    """
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise VolumeError(f"{path} cannot be read: {reason}") from None


def read_whole_volume(path: str | Path) -> sitk.Image:
    """Read a volume after making sure that a compressed file is whole; twice the time.

    Raises:
        VolumeError: The file is absent, truncated, damaged or no volume.
    """
    path = Path(path)
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as file:
                while file.read(_CHUNK_BYTES):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            raise VolumeError(f"{path} is truncated or damaged ({error})") from None
    return read_volume(path)
