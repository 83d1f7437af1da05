"""Reading volumes from files, and telling a whole file from a damaged one."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from coala_kedro.disk import written_whole
from coala_kedro.imaging.geometry import image_faults
from coala_kedro.imaging.nifti import NiftiFile
from coala_kedro.imaging.nifti_forms import Fault
from coala_kedro.imaging.text_headers import text_header_faults
from coala_kedro.imaging.untrusted import (
    MAX_VOLUME_BYTES,
    data_file_fault,
    file_fault,
    size_fault,
    stored_bytes,
    surplus_fault,
)

_CHUNK_BYTES = 1 << 20
_MAX_SURPLUS_BYTES = 1 << 28  # behind the voxels
_NIFTI = (".nii", ".nii.gz")
_HEADER_BYTES = 352  # of a NIfTI-1, as SimpleITK writes it
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
    """Read a volume (xyz, LPS, mm), without its header's texts; NIfTI-2 and odd names too.

    Raises:
        VolumeError: The file is absent, cut off or no volume. In a NIfTI, SimpleITK would read
            what is cut off as zeros, and reads NaN so, and headers that contradict themselves; see
            `read_whole_volume`.
    """
    check_untrusted(Path(path))
    check_length(Path(path))
    nifti = NiftiFile.at(Path(path))
    try:
        image = nifti.read() if nifti and nifti.is_odd else sitk.ReadImage(str(path))
    except (RuntimeError, ValueError, *_CUT) as error:
        code = "sheared" if "orthonormal" in str(error) else "unreadable"
        raise VolumeError(f"{path} cannot be read: {_reason(error)}", code) from None
    _refuse(image_faults(image), Path(path))
    return without_texts(image)


def without_texts(image: sitk.Image) -> sitk.Image:
    """The same voxels and grid; SimpleITK would write a header's texts into every file made of it.

    They say who made a volume and how, and at times of whom.
    """
    plain = sitk.Image(image)  # voxels are not copied
    for key in plain.GetMetaDataKeys():
        plain.EraseMetaData(key)
    return plain


def _reason(error: Exception) -> str:
    known = (words for part, words in _REASONS.items() if part in str(error))
    return next(known, "it is damaged, or of no format that SimpleITK knows")


def check_file(path: Path) -> None:
    """Make sure that a path can be opened, and that its header names no file elsewhere.

    Raises:
        VolumeError: It is no file, or its data file is not beside it.
    """
    if fault := file_fault(path) or data_file_fault(path):
        raise VolumeError(f"{path} cannot be read: {fault}")


def check_untrusted(path: Path) -> None:
    """Make sure that a file can be opened and needs no more memory than a CT, by its header.

    Raises:
        VolumeError: It is no file, its data file is not beside it, or its size cannot be believed.
    """
    check_file(path)
    if nifti := NiftiFile.at(path):
        fault = size_fault(nifti.needed_bytes or 0, nifti.path.stat().st_size)
    else:
        promised = _promised_bytes(grid := read_grid(path))
        fault = size_fault(promised, stored_bytes(path))
        fault = fault or surplus_fault(path, promised, grid.GetSize()[-1])
    if fault:
        raise VolumeError(f"{path} cannot be read: {fault}")


def _promised_bytes(grid: sitk.ImageFileReader) -> int:
    """Of the voxels that a header tells of."""
    components = grid.GetNumberOfComponents()
    voxel = sitk.Image((1, 1, 1), grid.GetPixelID(), components)
    return math.prod(grid.GetSize()) * components * voxel.GetSizeOfPixelComponent()


def read_grid(path: str | Path) -> sitk.ImageFileReader:
    """Read a file's header: size, spacing, origin and direction (xyz, LPS, mm).

    Raises:
        VolumeError: The file is absent or no volume.
    """
    check_file(Path(path))
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
        VolumeError: The file is absent, truncated, damaged or no volume; its header contradicts
            itself or does not tell left from right; or a NIfTI holds NaN or infinite voxels.
    """
    path = Path(path)
    check_file(path)
    _refuse(text_header_faults(path), path)
    check_untrusted(path)
    n_bytes, nifti = check_content(path), NiftiFile.at(path)
    _refuse(nifti.faults(n_bytes) if nifti else (), path)
    if nifti and (wrong := nifti.n_nonfinite_voxels()):
        message = f"{path} holds {wrong} voxels that are NaN or infinite"
        raise VolumeError(message, "nonfinite_voxels")
    return read_volume(path)


def _refuse(faults: Iterable[Fault], path: Path) -> None:
    for fault in faults:
        raise VolumeError(f"{path}: {fault.told}", fault.code)


def is_read_alike(path: Path) -> bool:
    """Whether every program reads a `.nii.gz` as `read_volume` does, by its header alone.

    Not so in other units than mm, in NIfTI-2, where only the name says gzip, and where a form of an
    atlas stands beside the scanner's. True of what is no NIfTI, which nobody reads.
    """
    return not (nifti := NiftiFile.at(path)) or nifti.is_plain


def volume_header_facts(path: Path) -> dict[str, bool | int | float | str]:
    """What a volume's header tells beside its grid: `template_space`, the code of an atlas."""
    nifti = NiftiFile.at(path)
    return {"template_space": nifti.template_code} if nifti and nifti.template_code else {}


def check_length(path: Path) -> None:
    """Make sure that a NIfTI file is not cut off, from its first and last bytes where they tell.

    A gzip file ends with the length of what it holds (RFC 1952), so it need not be read. Of other
    formats SimpleITK tells that they are cut.

    Raises:
        VolumeError: It is.
    """
    if not path.name.lower().endswith(_NIFTI) or not path.is_file():
        return
    nifti = NiftiFile.at(path)
    needed = nifti.needed_bytes if nifti else None
    if needed is None:
        read_grid(path)  # SimpleITK tells whether it is a volume
    is_gzip = nifti is not None and nifti.is_gzip
    if not is_gzip or needed is None or told_length(path) != needed % (1 << 32):
        check_content(path)


def is_whole(path: Path) -> bool:
    """Whether a file is there and, if it is a NIfTI, not cut off; see `check_length`."""
    try:
        check_length(path)
    except VolumeError:
        return False
    return path.is_file()


def check_content(path: Path, needed_bytes: int = 0) -> int:
    """Make sure that a file holds what its header promises; a gzip file is read to its checksum.

    Args:
        path: The file.
        needed_bytes: What a NIfTI holds at least, uncompressed, whatever its header says.

    Returns:
        What it holds, in bytes, uncompressed.

    Raises:
        VolumeError: The file is absent, truncated or damaged.
    """
    nifti = NiftiFile.at(path)
    needed = max((nifti.needed_bytes if nifti else None) or 0, needed_bytes)
    try:
        if nifti:
            n_bytes = _held_bytes(nifti.path, nifti.is_gzip, needed)
        else:
            n_bytes = _held_bytes(path, path.suffix == ".gz", MAX_VOLUME_BYTES)
    except gzip.BadGzipFile:
        # Its own words quote the file's first bytes.
        raise VolumeError(f"{path} is truncated or damaged (it is no gzip file)") from None
    except _CUT as error:
        raise VolumeError(f"{path} is truncated or damaged ({error})") from None
    if (nifti or path.name.lower().endswith(_NIFTI)) and n_bytes < needed:
        raise VolumeError(f"{path} is truncated or damaged ({n_bytes} of {needed} bytes)")
    if path.name.lower().endswith(_NIFTI) and nifti is None:
        read_grid(path)  # SimpleITK tells whether it is a volume
    return n_bytes


def write_volume(image: sitk.Image, path: Path) -> None:
    """Write a volume beside its place, compressed where the format can; rename it when it is whole.

    Only voxels and grid are written, no texts of a header. SimpleITK's NIfTI writer tells of a full
    disk on standard error alone, its others forget their last bytes: what was written is read again
    before it gets its name.

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


def told_length(path: Path) -> int:
    """What the last bytes of a gzip file say it holds, modulo 2 ** 32."""
    with path.open("rb") as file:
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return int.from_bytes(file.read(), "little")


def _held_bytes(path: Path, is_gzip: bool, promised: int) -> int:
    """Read a gzip file to its end, where its checksum is, and count what a file holds."""
    if not is_gzip:
        return path.stat().st_size
    n_bytes = 0
    with gzip.open(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            n_bytes += len(chunk)
            if n_bytes > promised + _MAX_SURPLUS_BYTES:
                raise OSError(f"it unpacks to more than {n_bytes} bytes, and promised {promised}")
    return n_bytes
