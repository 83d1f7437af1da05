"""Reading volumes from files, and telling a whole file from a damaged one."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk

from coala_kedro.disk import written_whole

_CHUNK_BYTES = 1 << 20
_NIFTI = (".nii", ".nii.gz")
_HEADER_BYTES = 352  # of a NIfTI-1, as SimpleITK writes it
_NO_HEADER = (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError)
_CUT = (OSError, EOFError, zlib.error)
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
        VolumeError: The file is absent, cut off or no volume. In a NIfTI, SimpleITK would read
            what is cut off as zeros, and reads NaN so; see `read_whole_volume`.
    """
    check_length(Path(path))
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


def read_texts(path: str | Path) -> dict[str, str]:
    """Read the texts of a file's header by their keys; they may say who somebody is.

    Raises:
        VolumeError: The file is absent or no volume.
    """
    header = read_grid(path)
    return {key: header.GetMetaData(key) for key in header.GetMetaDataKeys()}


def read_whole_volume(path: str | Path) -> sitk.Image:
    """Read a volume after making sure that nothing of it is read as zeros; twice the time.

    Raises:
        VolumeError: The file is absent, truncated, damaged or no volume, or a NIfTI with voxels
            that are NaN or infinite.
    """
    path = Path(path)
    check_content(path)
    _check_finite(path)
    return read_volume(path)


def check_length(path: Path) -> None:
    """Make sure that a NIfTI file is not cut off, from its first and last bytes where they tell.

    A gzip file ends with the length of what it holds (RFC 1952), so it need not be read. Of other
    formats SimpleITK tells that they are cut.

    Raises:
        VolumeError: It is.
    """
    if not path.name.endswith(_NIFTI) or not path.is_file():
        return
    needed = _needed_bytes(path)
    if needed is None:
        read_grid(path)  # SimpleITK tells whether it is a volume
    if path.suffix != ".gz" or needed is None or _told_length(path) != needed % (1 << 32):
        check_content(path)


def is_whole(path: Path) -> bool:
    """Whether a file is there and, if it is a NIfTI, not cut off; see `check_length`."""
    try:
        check_length(path)
    except VolumeError:
        return False
    return path.is_file()


def check_content(path: Path, needed_bytes: int = 0) -> None:
    """Make sure that a file holds what its header promises; a gzip file is read to its checksum.

    Args:
        path: The file.
        needed_bytes: What a NIfTI holds at least, uncompressed, whatever its header says.

    Raises:
        VolumeError: The file is absent, truncated or damaged.
    """
    try:
        n_bytes = _decompressed_bytes(path) if path.suffix == ".gz" else path.stat().st_size
    except _CUT as error:
        raise VolumeError(f"{path} is truncated or damaged ({error})") from None
    if not path.name.endswith(_NIFTI):
        return
    needed = max(_needed_bytes(path) or 0, needed_bytes)
    if n_bytes < needed:
        raise VolumeError(f"{path} is truncated or damaged ({n_bytes} of {needed} bytes)")


def write_volume(image: sitk.Image, path: Path) -> None:
    """Write a volume beside its place, compressed where the format can; rename it when it is whole.

    Only voxels and grid are written, no texts of the header that it came with.

    SimpleITK's NIfTI writer tells of a full disk on standard error alone, its others forget their
    last bytes: what was written is read again before it gets its name.

    Raises:
        DiskFullError: The disk is full; what was there before is untouched.
        VolumeError: It cannot be written.
    """
    voxel_bytes = image.GetSizeOfPixelComponent() * image.GetNumberOfComponentsPerPixel()
    needed = _HEADER_BYTES + image.GetNumberOfPixels() * voxel_bytes
    with written_whole(path, "a volume", needed) as partial:
        try:
            sitk.WriteImage(without_texts(image), str(partial), useCompression=True)
        except RuntimeError as error:
            raise VolumeError(str(error).strip()) from None
        check_content(partial, needed)
        if not path.name.endswith(_NIFTI):
            written = read_volume(partial)
            if not _same_voxels(image, written):
                raise VolumeError("what was written is not what is read")


def _same_voxels(one: sitk.Image, other: sitk.Image) -> bool:
    first, second = (sitk.GetArrayViewFromImage(image) for image in (one, other))
    return np.array_equal(first, second, equal_nan=True)


def _told_length(path: Path) -> int:
    """What the last bytes of a gzip file say it holds, modulo 2 ** 32."""
    with path.open("rb") as file:
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return int.from_bytes(file.read(), "little")


def _decompressed_bytes(path: Path) -> int:
    """Read a gzip file to its end, where its checksum is, and count what it holds."""
    with gzip.open(path) as file:
        return sum(map(len, iter(lambda: file.read(_CHUNK_BYTES), b"")))


def _needed_bytes(path: Path) -> int | None:
    """What a NIfTI's header says its file holds; None where it is no header."""
    try:
        image: Any = nibabel.load(path)
    except _NO_HEADER:
        return None
    except _CUT as error:
        raise VolumeError(f"{path} is truncated or damaged ({error})") from None
    stored = image.dataobj
    return stored.offset + math.prod(stored.shape) * stored.dtype.itemsize


def _check_finite(path: Path) -> None:
    """Refuse NaN, which SimpleITK reads as zeros without a word (ITK pull request 6683)."""
    if not path.name.endswith(_NIFTI):
        return
    try:
        image: Any = nibabel.load(path)
    except _NO_HEADER:
        return
    stored = image.dataobj
    if stored.dtype.kind == "f" and (wrong := int((~np.isfinite(stored.get_unscaled())).sum())):
        message = f"{path} holds {wrong} voxels that are NaN or infinite"
        raise VolumeError(message, "nonfinite_voxels")
