"""Whether a NIfTI file holds a volume and nothing that could identify the patient."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

from coala_kedro.imaging.untrusted import gzip_length

_NEEDED = frozenset(
    ("sizeof_hdr", "regular", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope",
     "scl_inter", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
     "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "magic"),
)  # fmt: skip
"""Fields of the header that voxels and their places need."""

_GZIP_START = b"\x1f\x8b\x08\x00"
"""Of a gzip member (RFC 1952) without a file name, a comment or an extra field."""
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS

_HEADER_BYTES, _FIRST_VOXEL = 348, 352
_CHUNK_BYTES = 1 << 16  # a mask may unpack to a thousand times as much


def is_plain_nifti(path: Path) -> bool:
    """Whether a `.nii.gz` holds voxels and their grid and nothing else; reads it to its end.

    Every other field of the NIfTI-1 header is empty (`descrip`, `aux_file`, `intent_name`,
    `db_name` and other free texts), there is no extension, nothing after the voxels, and in the
    gzip header neither a file name nor a comment.

    Args:
        path: The file.

    Raises:
        OSError: The file cannot be read.
    """
    if (promised := _plain_bytes(path)) is None:
        return False
    gunzip, n_bytes = zlib.decompressobj(_WITH_GZIP_HEADER), 0
    with path.open("rb") as file:
        try:
            while not gunzip.eof and (chunk := file.read(_CHUNK_BYTES)):
                n_bytes += len(gunzip.decompress(chunk))
        except zlib.error:
            return False
        is_last = gunzip.eof and not gunzip.unused_data and not file.read(1)
    return is_last and n_bytes == promised


def looks_plain(path: Path) -> bool:
    """As `is_plain_nifti`, from the file's two ends alone: enough to notice that a file changed.

    Args:
        path: The file.

    Raises:
        OSError: The file cannot be read.
    """
    promised = _plain_bytes(path)
    return promised is not None and promised % 2**32 == gzip_length(path)


def _plain_bytes(path: Path) -> int | None:
    """Bytes of a plain file with this file's header; None if that holds more than the volume."""
    import nibabel

    with path.open("rb") as file:
        stored = file.read(_CHUNK_BYTES)
    try:
        start = zlib.decompressobj(_WITH_GZIP_HEADER).decompress(stored, _FIRST_VOXEL)
    except zlib.error:
        return None
    if not stored.startswith(_GZIP_START) or len(start) < _FIRST_VOXEL:
        return None
    header = nibabel.Nifti1Header(start[:_HEADER_BYTES], check=False)
    further = [name for name in header if name not in _NEEDED and any(header[name].tobytes())]
    single = header["magic"].item() == header.single_magic.rstrip(b"\0")
    if further or any(start[_HEADER_BYTES:]) or not single or header["vox_offset"] != _FIRST_VOXEL:
        return None
    return _FIRST_VOXEL + math.prod(header.get_data_shape()) * int(header["bitpix"]) // 8
