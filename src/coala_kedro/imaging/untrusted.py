"""Checks of a file before a library opens it."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from pathlib import Path
from typing import NamedTuple

MAX_VOLUME_BYTES = 1 << 32
"""Voxels of a volume, uncompressed: a CT of 1024 x 1024 x 2048 has as much; the largest of public
collections have an eighth. What promises more is a mistake, or made to fill the memory."""

_MAX_COMPRESSION = 1100
"""Deflate compresses at most 1032 to 1 (zlib's technical details)."""
_CHUNK_BYTES = 1 << 20
_MAX_SURPLUS_BYTES = 1 << 28  # behind the voxels
_DEFLATED, _DICOM_START_BYTES = b"1.2.840.10008.1.2.1.99", 2048
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_REASONS = {
    errno.ELOOP: "it is a link that leads to itself",
    errno.EACCES: "it may not be read",
    errno.ENAMETOOLONG: "its name is too long",
}


class Fault(NamedTuple):
    """A reason why a file cannot be used.

    Attributes:
        code: The check of screening that it fails.
        message: What is wrong, in words.
    """

    code: str
    message: str


def file_fault(path: Path) -> str:
    """Why a path is no file that can be read, in words; empty if it is one.

    Opening a pipe would wait for ever.

    Args:
        path: The path.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        absent = "it is a link to a file that is absent" if path.is_symlink() else ""
        return _REASONS.get(error.errno or 0) or absent or "there is no such file"
    return "" if kind == stat.S_IFREG else f"it is {_KINDS.get(kind, 'something else')}, not a file"


def size_fault(promised_bytes: int, stored_bytes: int) -> str:
    """Why a volume's size cannot be right, in words; empty if it can.

    Args:
        promised_bytes: Of its voxels, uncompressed, as the header says.
        stored_bytes: Of its files.
    """
    if promised_bytes > MAX_VOLUME_BYTES:
        return (
            f"its header tells of {promised_bytes / 1e9:,.1f} GB of voxels, and no more than "
            f"{MAX_VOLUME_BYTES / 1e9:.1f} are read: cut out the abdomen"
        )
    if promised_bytes > _MAX_COMPRESSION * stored_bytes:
        return f"its header tells of {promised_bytes} bytes of voxels, it has {stored_bytes}"
    return ""


def gzip_length(path: Path) -> int:
    """Length of a gzip file's content, modulo 2 ** 32, from the file's last bytes.

    Args:
        path: A gzip file.
    """
    with path.open("rb") as file:
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return int.from_bytes(file.read(), "little")


def content_bytes(path: Path, is_gzip: bool, promised: int) -> int:
    """Length of a file's content; a gzip file is read to its end, where its checksum is.

    Args:
        path: The file.
        is_gzip: Whether it is compressed.
        promised: Bytes that it should unpack to.

    Raises:
        OSError: It unpacks to far more than promised, or is damaged.
    """
    if not is_gzip:
        return path.stat().st_size
    n_bytes = 0
    with gzip.open(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            n_bytes += len(chunk)
            if n_bytes > promised + _MAX_SURPLUS_BYTES:
                raise OSError(f"it unpacks to more than {n_bytes} bytes, and promised {promised}")
    return n_bytes


def check_deflated(path: Path) -> None:
    """Make sure that a deflated DICOM file unpacks to no more than a volume; others pass.

    pydicom unpacks it at once, however large it becomes.

    Args:
        path: A DICOM file.

    Raises:
        ValueError: It unpacks to more than `MAX_VOLUME_BYTES`.
        zlib.error: It is damaged.
    """
    with path.open("rb") as file:
        start = file.read(_DICOM_START_BYTES)
        if start[128:132] != b"DICM" or _DEFLATED not in start:
            return
        file.seek(144 + int.from_bytes(start[140:144], "little"))  # behind the meta information
        gunzip, n_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while not gunzip.eof and (chunk := gunzip.unconsumed_tail or file.read(_CHUNK_BYTES)):
            n_bytes += len(gunzip.decompress(chunk, _CHUNK_BYTES))
            if n_bytes > MAX_VOLUME_BYTES:
                raise ValueError(f"It unpacks to more than {MAX_VOLUME_BYTES / 1e9:.1f} GB.")
