"""What is asked of a file before a library opens it: whatever it is, the cohort goes on."""

from __future__ import annotations

import errno
import re
import stat
import zlib
from pathlib import Path, PurePosixPath

MAX_VOLUME_BYTES = 1 << 32
"""Voxels of a volume, uncompressed: a CT of 1024 x 1024 x 2048 has as much; the largest of public
collections have an eighth. What promises more is a mistake, or made to fill the memory."""

_MAX_COMPRESSION = 1100
"""Times: no deflate compresses more than 1032 to 1 (zlib's technical details)."""
_MAX_HEADER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_DEFLATED, _DICOM_START_BYTES = b"1.2.840.10008.1.2.1.99", 2048
_DATA_FILE = re.compile(
    rb"^[ \t]*(?:ElementDataFile[ \t]*=|data ?file:)[ \t]*([^\r\n]+?)[ \t]*\r?$", re.M | re.I
)
_NRRD_END, _META_END = re.compile(rb"\r?\n\r?\n"), re.compile(rb"ElementDataFile[^\n]*\n")
_RAW = re.compile(rb"^(encoding: *raw|BinaryData *= *True)", re.M | re.I)
_COMPRESSED = re.compile(rb"^CompressedData *= *True", re.M | re.I)
_WITH_DATA_FILE = (".mhd", ".mha", ".nhdr", ".nrrd")
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


def file_fault(path: Path) -> str:
    """Why a path is no file that can be read, in words; empty if it is one.

    To open a pipe would wait for ever.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        absent = "it is a link to a file that is absent" if path.is_symlink() else ""
        return _REASONS.get(error.errno or 0) or absent or "there is no such file"
    return "" if kind == stat.S_IFREG else f"it is {_KINDS.get(kind, 'something else')}, not a file"


def data_file_fault(path: Path) -> str:
    """Why a header's data files may not be read, in words; empty if they may, or there are none.

    A header could name any file of this machine, which would then be read as voxels. So they lie in
    the header's folder, or below it, links included.
    """
    folder = path.resolve().parent
    for name in data_files(path):
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\0" in name:
            return "its header names a data file outside its folder: put both into one"
        if file_fault(folder / name) and "%" not in name:
            return f"its data file cannot be had: {file_fault(folder / name)}"
        if not (folder / name).resolve().is_relative_to(folder):
            return "its data file is a link to a file outside its folder: put the file itself there"
    return ""


def data_files(path: Path) -> list[str]:
    """Names of the files that a NRRD or MetaImage header says have the voxels, as it says them."""
    if not path.name.lower().endswith(_WITH_DATA_FILE):
        return []
    with path.open("rb") as file:
        return named_in_header(file.read(_MAX_HEADER_BYTES))


def named_in_header(header: bytes) -> list[str]:
    """The same from a header's first bytes."""
    ends = [header.find(empty) for empty in (b"\n\n", b"\r\n\r\n") if empty in header]
    text = header[: min(ends)] if header.startswith(b"NRRD") and ends else header
    found = _DATA_FILE.search(text)
    if not found or found[1].upper() == b"LOCAL":
        return []
    if found[1].upper().split()[0] == b"LIST":
        lines = header[found.end() :].decode(errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip()]
    told = found[1].decode(errors="replace")
    numbered = re.fullmatch(r"(\S*%0?\d*d\S*)((?:\s+-?\d+){3,4})", told)
    if not numbered:
        return [told]
    first, last, step = map(int, numbered[2].split()[:3])
    numbers = range(first, last + (1 if step > 0 else -1), step or 1)
    return [numbered[1] % number for number in numbers[:_MAX_HEADER_BYTES]]


def size_fault(promised_bytes: int, stored_bytes: int) -> str:
    """Why a volume's size cannot be believed, in words; empty if it can.

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


def surplus_fault(path: Path, promised_bytes: int, n_slices: int) -> str:
    """Why a NRRD or MetaImage has more raw voxels than told, in words; empty if it has not.

    Slices left out of the header are left out of the volume.

    Args:
        path: Of the header; the voxels behind it, or in its data files.
        promised_bytes: Of the voxels, uncompressed, as the header says.
        n_slices: As the header says.
    """
    if not path.name.lower().endswith(_WITH_DATA_FILE):
        return ""
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES)
    end = (_NRRD_END if start.startswith(b"NRRD") else _META_END).search(start)
    header = start[: end.end()] if end else start
    if not _RAW.search(header) or _COMPRESSED.search(header):
        return ""
    held = stored_bytes(path) - len(header)
    if held - promised_bytes < promised_bytes / max(n_slices, 1):
        return ""
    return f"it holds {held} bytes of voxels, its header tells of {promised_bytes}"


def check_deflated(path: Path) -> None:
    """Make sure that a deflated DICOM file unpacks to no more than a volume; nothing of others.

    pydicom unpacks it at once, however large it becomes.

    Raises:
        ValueError: It unpacks to more.
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


def stored_bytes(path: Path) -> int:
    """Of a volume's files."""
    files = (path.parent / name for name in data_files(path))
    return path.stat().st_size + sum(file.stat().st_size for file in files if file.is_file())
