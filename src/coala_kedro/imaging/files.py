"""Reading volumes from files, and telling a whole file from a damaged one."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk

_CHUNK_BYTES = 1 << 20
_REASONS = {
    "orthonormal": "its axes are not at right angles",
    "does not exist": "there is no such file",
}
"""What SimpleITK says, and words for it: its own may quote the header, and name other files."""


class VolumeError(ValueError):
    """A file holds no volume that can be used.

    Attributes:
        code: The check of screening that it fails.
    """

    def __init__(self, message: str, code: str = "unreadable") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[VolumeError], tuple[str, str]]:
        """Keep the code on the way between processes."""
        return type(self), (str(self), self.code)


def read_volume(path: str | Path) -> sitk.Image:
    """Read a volume (xyz, LPS, mm), without the texts of its header.

    Raises:
        VolumeError: The file is absent or no volume. In a NIfTI, SimpleITK reads what is cut off
            as zeros, and NaN too; see `read_whole_volume`.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        code = "sheared" if "orthonormal" in str(error) else "unreadable"
        raise VolumeError(f"{path} cannot be read: {_reason(error)}", code) from None
    return without_texts(image)


def without_texts(image: sitk.Image) -> sitk.Image:
    """The same voxels and grid; SimpleITK would write a header's texts into every file made of it.

    They say who made a volume and how, and at times of whom.
    """
    plain = sitk.Image(image)  # voxels are not copied
    for key in plain.GetMetaDataKeys():
        plain.EraseMetaData(key)
    return plain


def _reason(error: RuntimeError) -> str:
    known = (words for part, words in _REASONS.items() if part in str(error))
    return next(known, "it is damaged, or of no format that SimpleITK knows")


def read_grid(path: str | Path) -> sitk.ImageFileReader:
    """Read a file's header: size, spacing, origin and direction (xyz, LPS, mm).

    Raises:
        VolumeError: The file is absent or no volume.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise VolumeError(f"{path} cannot be read: {_reason(error)}") from None
    return reader


def read_whole_volume(path: str | Path) -> sitk.Image:
    """Read a volume after making sure that nothing of it is read as zeros; twice the time.

    Raises:
        VolumeError: The file is absent, truncated, damaged or no volume, or a NIfTI with voxels
            that are NaN or infinite.
    """
    path = Path(path)
    try:
        n_bytes = _decompressed_bytes(path) if path.suffix == ".gz" else path.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise VolumeError(f"{path} is truncated or damaged ({error})") from None
    if path.name.endswith((".nii", ".nii.gz")):
        _check_nifti(path, n_bytes)
    return read_volume(path)


def _decompressed_bytes(path: Path) -> int:
    """Read a gzip file to its end, where its checksum is, and count what it holds."""
    with gzip.open(path) as file:
        return sum(map(len, iter(lambda: file.read(_CHUNK_BYTES), b"")))


def _check_nifti(path: Path, n_bytes: int) -> None:
    """Refuse what SimpleITK reads as zeros without a word (for NaN: ITK pull request 6683)."""
    try:
        image: Any = nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError):
        return  # SimpleITK tells whether it is a volume.
    stored = image.dataobj
    needed = stored.offset + math.prod(stored.shape) * stored.dtype.itemsize
    if n_bytes < needed:
        raise VolumeError(f"{path} is truncated or damaged ({n_bytes} of {needed} bytes)")
    if stored.dtype.kind == "f" and (wrong := int((~np.isfinite(stored.get_unscaled())).sum())):
        message = f"{path} holds {wrong} voxels that are NaN or infinite"
        raise VolumeError(message, "nonfinite_voxels")
