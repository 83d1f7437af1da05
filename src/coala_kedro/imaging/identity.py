"""Fingerprints of volumes: of voxels and geometry, however the file is written."""

from __future__ import annotations

import functools
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from coala_kedro.fingerprint import file_fingerprint, file_version, fingerprint
from coala_kedro.imaging.decompression import is_gzip, open_decompressed
from coala_kedro.imaging.files import VolumeError, read_grid, read_volume
from coala_kedro.imaging.geometry import grid_differences

_DECIMALS = 4
"""Of spacing and origin in mm, and of directions: headers keep single precision."""
_CHUNK_BYTES = 1 << 20
_CRC32_POLYNOMIAL = 0xEDB88320
_UNSCALED = (1.0, 0.0)

Voxels = tuple[str | int | float, ...]


@dataclass(frozen=True)
class VolumeIdentity:
    """Voxels and geometry of a volume's file.

    Attributes:
        voxels: Type, number and checksum of the voxels as they are read.
        grid: Size, spacing, origin and direction (xyz, LPS, mm).
    """

    voxels: Voxels
    grid: sitk.ImageFileReader

    @property
    def fingerprint(self) -> str:
        """The same for the same voxels in the same place."""
        grid = self.grid
        places = (*grid.GetSpacing(), *grid.GetOrigin(), *grid.GetDirection())
        rounded = [round(value, _DECIMALS) + 0.0 for value in places]  # no negative zero
        return fingerprint([*self.voxels, *grid.GetSize(), *rounded])

    def is_same(self, other: VolumeIdentity) -> bool:
        """Whether two files hold the same voxels in the same place.

        Args:
            other: Identity of the other file.
        """
        return self.voxels == other.voxels and not grid_differences(self.grid, other.grid)


def volume_fingerprint(path: str | Path) -> str:
    """Fingerprint of a file's voxels and geometry, or of its bytes if it is no volume.

    Args:
        path: The file.

    Raises:
        OSError: The file cannot be read.
    """
    return _fingerprint(str(path), *file_version(path))


@functools.cache
def _fingerprint(name: str, *_version: int) -> str:
    try:
        return volume_identity(name).fingerprint
    except VolumeError:
        return file_fingerprint(name)


def volume_identity(path: str | Path) -> VolumeIdentity:
    """Voxels and geometry of a file, without unpacking a gzipped NIfTI that is not rescaled.

    Args:
        path: A volume.

    Raises:
        VolumeError: The file is no volume.
    """
    from nibabel.filebasedimages import ImageFileError

    grid = read_grid(path)
    if not str(path).endswith((".nii", ".nii.gz")):
        return VolumeIdentity(_read_voxels(path), grid)
    try:
        return VolumeIdentity(_nifti_voxels(Path(path)), grid)
    except (ImageFileError, EOFError, OSError, zlib.error) as error:
        raise VolumeError(f"{path} cannot be read: {error}") from None


def _read_voxels(path: str | Path) -> Voxels:
    voxels = sitk.GetArrayFromImage(read_volume(path))  # a view would outlive the image
    return str(voxels.dtype), voxels.nbytes, *_UNSCALED, zlib.crc32(voxels.tobytes())


def _nifti_voxels(path: Path) -> Voxels:
    import nibabel

    stored = nibabel.load(path).dataobj  # type: ignore[attr-defined]
    start, n_bytes = stored.offset, int(np.prod(stored.shape)) * stored.dtype.itemsize
    if (stored.slope, stored.inter) != _UNSCALED or not stored.dtype.isnative:
        return _read_voxels(path)  # as it would be written anew
    described = (str(stored.dtype), n_bytes, *_UNSCALED)
    with open_decompressed(path) as content:
        if is_gzip(path):
            crc32, length = _gzip_end(path)
            if length == (start + n_bytes) % 2**32:  # one member, and nothing after the voxels
                header = zlib.crc32(content.read(start))
                return *described, crc32 ^ _shifted(header, n_bytes)
        content.seek(start)
        return *described, _checksum(content, n_bytes)


def _gzip_end(path: Path) -> tuple[int, int]:
    """CRC-32 and length, modulo 2**32, of the last member's content (RFC 1952)."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        crc32, length = (int.from_bytes(file.read(4), "little") for _ in range(2))
    return crc32, length


def _checksum(file: BinaryIO | gzip.GzipFile, n_bytes: int) -> int:
    crc32 = 0
    while n_bytes and (chunk := file.read(min(n_bytes, _CHUNK_BYTES))):
        crc32, n_bytes = zlib.crc32(chunk, crc32), n_bytes - len(chunk)
    return crc32


def _shifted(crc32: int, n_bytes: int) -> int:
    """A checksum's part in that of what it begins: crc(ab) = shifted(crc(a), len(b)) ^ crc(b).

    It is a product of polynomials over GF(2), as in zlib's `crc32_combine`: so the voxels'
    checksum is known from the file's, which gzip keeps at its end, and the header's.
    """
    power, square = 1 << 31, 1 << 30  # x^0, x^1; the highest bit is the lowest power
    for bit in bin(8 * n_bytes)[:1:-1]:
        if bit == "1":
            power = _product(power, square)
        square = _product(square, square)
    return _product(crc32, power)


def _product(one: int, other: int) -> int:
    product = 0
    for place in range(31, -1, -1):
        if one >> place & 1:
            product ^= other
        other = other >> 1 ^ (_CRC32_POLYNOMIAL if other & 1 else 0)
    return product
