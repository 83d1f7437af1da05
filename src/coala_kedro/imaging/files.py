"""Reading volumes from files, and telling a whole file from a damaged one."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from coala_kedro.disk import written_whole
from coala_kedro.imaging.geometry import GRID_TOLERANCE
from coala_kedro.imaging.nifti import NiftiFile
from coala_kedro.imaging.text_headers import (
    data_file_fault,
    stored_bytes,
    surplus_fault,
    text_header_faults,
)
from coala_kedro.imaging.untrusted import (
    MAX_VOLUME_BYTES,
    Fault,
    content_bytes,
    file_fault,
    gzip_length,
    size_fault,
)

_NIFTI = (".nii", ".nii.gz")
_HEADER_BYTES = 352  # of a NIfTI-1, as SimpleITK writes it
_CUT = (OSError, EOFError, zlib.error)
_REASONS = {
    "orthonormal": "its axes are not at right angles",
    "does not exist": "there is no such file",
}
"""Words for what SimpleITK says: its own may quote the header, and name other files."""


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
    """Read a volume (xyz, LPS, mm) without its header's texts; NIfTI-2 and odd names too.

    Args:
        path: A NIfTI, MetaImage, NRRD or other file that SimpleITK reads.

    Raises:
        VolumeError: The file is absent, cut off or no volume. NaN, which SimpleITK reads as 0 from
            a NIfTI, and contradictory headers are found by `read_whole_volume` alone.
    """
    nifti = _check_size(path := Path(path))
    check_length(path)
    return _read(path, nifti)


def read_whole_volume(path: str | Path) -> sitk.Image:
    """Read a volume as `read_volume` does, after checking header and content; takes twice the time.

    Args:
        path: As for `read_volume`.

    Raises:
        VolumeError: The file is absent, truncated, damaged or no volume; its header contradicts
            itself or does not tell left from right; or a NIfTI holds NaN or infinite voxels.
    """
    check_file(path := Path(path))
    _refuse(text_header_faults(path), path)
    nifti = _check_size(path)
    n_bytes = check_content(path)
    _refuse(nifti.faults(n_bytes) if nifti else (), path)
    if nifti and (wrong := nifti.n_nonfinite_voxels()):
        message = f"{path} holds {wrong} voxels that are NaN or infinite"
        raise VolumeError(message, "nonfinite_voxels")
    return _read(path, nifti)


def _read(path: Path, nifti: NiftiFile | None) -> sitk.Image:
    try:
        image = nifti.read() if nifti and nifti.is_odd else sitk.ReadImage(str(path))
    except (RuntimeError, ValueError, *_CUT) as error:
        code = "sheared" if "orthonormal" in str(error) else "unreadable"
        raise VolumeError(f"{path} cannot be read: {_reason(error)}", code) from None
    _refuse(_image_faults(image), path)
    return _without_texts(image)


def _image_faults(image: sitk.Image) -> Iterator[Fault]:
    """Faults of an image that SimpleITK reads from some formats all the same."""
    direction = np.reshape(image.GetDirection(), [image.GetDimension()] * 2)
    if not np.allclose(direction.T @ direction, np.eye(len(direction)), 0, GRID_TOLERANCE):
        # A NIfTI made of it would be another image: ITK turns its axes without a word.
        yield Fault("sheared", "its axes are not at right angles, or not of length 1")
    if image.GetPixelIDTypeAsString().startswith("complex"):
        yield Fault("unreadable", "its voxels are complex numbers")


def _refuse(faults: Iterable[Fault], path: Path) -> None:
    for fault in faults:
        raise VolumeError(f"{path}: {fault.message}", fault.code)


def _without_texts(image: sitk.Image) -> sitk.Image:
    """The same voxels and grid without the header's texts, which may hold a name."""
    plain = sitk.Image(image)  # voxels are not copied
    for key in plain.GetMetaDataKeys():
        plain.EraseMetaData(key)
    return plain


def _reason(error: Exception) -> str:
    known = (words for part, words in _REASONS.items() if part in str(error))
    return next(known, "it is damaged, or of no format that SimpleITK knows")


def check_file(path: Path) -> None:
    """Make sure that a path can be opened, and that its header names no file elsewhere.

    Args:
        path: Of a volume.

    Raises:
        VolumeError: It is no file, or its data file is not beside it.
    """
    if fault := file_fault(path) or data_file_fault(path):
        raise VolumeError(f"{path} cannot be read: {fault}")


def _check_size(path: Path) -> NiftiFile | None:
    """Make sure that a file can be opened and needs no more memory than a CT, by its header.

    Returns:
        It, if it is a NIfTI.

    Raises:
        VolumeError: It is no file, its data file is not beside it, or its size cannot be believed.
    """
    if nifti := NiftiFile.at(path):
        fault = size_fault(nifti.needed_bytes or 0, nifti.path.stat().st_size)
    else:
        promised = _promised_bytes(grid := read_grid(path))
        fault = size_fault(promised, stored_bytes(path))
        fault = fault or surplus_fault(path, promised, grid.GetSize()[-1])
    if fault:
        raise VolumeError(f"{path} cannot be read: {fault}")
    return nifti


def _promised_bytes(grid: sitk.ImageFileReader) -> int:
    components = grid.GetNumberOfComponents()
    voxel = sitk.Image((1, 1, 1), grid.GetPixelID(), components)
    return math.prod(grid.GetSize()) * components * voxel.GetSizeOfPixelComponent()


def read_grid(path: str | Path) -> sitk.ImageFileReader:
    """Read size, spacing, origin and direction (xyz, LPS, mm) from a file's header.

    Args:
        path: Of a volume.

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
    """Read the texts of a file's header by their keys; they may hold a patient's name.

    Args:
        path: Of a volume.

    Raises:
        VolumeError: The file is absent or no volume.
    """
    header = read_grid(path)
    return {key: header.GetMetaData(key) for key in header.GetMetaDataKeys()}


def check_length(path: Path) -> None:
    """Make sure that a NIfTI file is not cut off; SimpleITK finds that in other formats.

    A gzip file ends with the length of its content (RFC 1952), so it need not be read.

    Args:
        path: Of a volume.

    Raises:
        VolumeError: It is cut off.
    """
    if not path.name.lower().endswith(_NIFTI) or not path.is_file():
        return
    nifti = NiftiFile.at(path)
    if nifti is None or nifti.needed_bytes is None:
        read_grid(path)  # SimpleITK tells whether it is a volume
    elif nifti.is_gzip and gzip_length(path) == nifti.needed_bytes % (1 << 32):
        return
    check_content(path)


def is_whole(path: Path) -> bool:
    """Whether a file is there and, if it is a NIfTI, not cut off; see `check_length`.

    Args:
        path: Of a volume.
    """
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
            n_bytes = content_bytes(nifti.path, nifti.is_gzip, needed)
        else:
            n_bytes = content_bytes(path, path.suffix == ".gz", MAX_VOLUME_BYTES)
    except _CUT as error:
        # What gzip says of another file quotes its first bytes.
        reason = "it is no gzip file" if isinstance(error, gzip.BadGzipFile) else error
        raise VolumeError(f"{path} is truncated or damaged ({reason})") from None
    is_named_nifti = path.name.lower().endswith(_NIFTI)
    if (nifti or is_named_nifti) and n_bytes < needed:
        raise VolumeError(f"{path} is truncated or damaged ({n_bytes} of {needed} bytes)")
    if is_named_nifti and nifti is None:
        read_grid(path)  # SimpleITK tells whether it is a volume
    return n_bytes


def write_volume(image: sitk.Image, path: Path) -> None:
    """Write a volume atomically, compressed where the format can, without texts of a header.

    SimpleITK's NIfTI writer reports a full disk on standard error alone, its others lose their
    last bytes: so the file is read again before it gets its name.

    Args:
        image: The volume.
        path: Where to write it; its suffix tells the format.

    Raises:
        DiskFullError: The disk is full; what was there before is untouched.
        VolumeError: It cannot be written.
    """
    voxel_bytes = image.GetSizeOfPixelComponent() * image.GetNumberOfComponentsPerPixel()
    needed = _HEADER_BYTES + image.GetNumberOfPixels() * voxel_bytes
    with written_whole(path, "a volume", needed) as partial:
        try:
            sitk.WriteImage(_without_texts(image), str(partial), useCompression=True)
        except RuntimeError as error:
            raise VolumeError(str(error).strip()) from None
        check_content(partial, needed)
        if not path.name.endswith(_NIFTI):
            voxels, written = map(sitk.GetArrayFromImage, (image, read_volume(partial)))
            if not np.array_equal(voxels, written, equal_nan=True):
                raise VolumeError("what was written is not what is read")
