"""Whether a NIfTI file holds a volume and nothing that may tell whose it is."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import nibabel

from coala_kedro.imaging.files import told_length

_NEEDED = frozenset(
    ("sizeof_hdr", "regular", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope",
     "scl_inter", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
     "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "magic"),
)  # fmt: skip
"""Fields of the header that voxels and their places need."""

_GZIP_START = b"\x1f\x8b\x08\x00"
"""Of a gzip member (RFC 1952) without a file name, a comment or an extra field."""

_HEADER_BYTES, _FIRST_VOXEL = 348, 352
_CHUNK_BYTES = 1 << 16  # a mask may unpack to a thousand times as much


def is_plain_nifti(path: Path) -> bool:
    """Whether a `.nii.gz` holds voxels and where they lie, and nothing else; reads it to its end.

    Every other field of the NIfTI-1 header is empty (`descrip`, `aux_file`, `intent_name`,
    `db_name` and what else people write into), there is no extension, nothing after the voxels,
    and in the gzip header neither a file name nor a comment.

    Raises:
        OSError: The file cannot be read.
    """
    gunzip, start, n_bytes = zlib.decompressobj(16 + zlib.MAX_WBITS), b"", 0
    with path.open("rb") as file:
        if file.read(len(_GZIP_START)) != _GZIP_START:
            return False
        file.seek(0)
        try:
            while not gunzip.eof and (chunk := file.read(_CHUNK_BYTES)):
                held = gunzip.decompress(chunk)
                start += held[: _FIRST_VOXEL - len(start)]
                n_bytes += len(held)
        except zlib.error:
            return False
        if not gunzip.eof or gunzip.unused_data or file.read(1):
            return False
    return len(start) == _FIRST_VOXEL and n_bytes == _plain_bytes(start)


def looks_plain(path: Path) -> bool:
    """As `is_plain_nifti`, from the file's two ends alone: enough to notice that a file changed.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(_GZIP_START)) != _GZIP_START:
            return False
        file.seek(0)
        try:
            start = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(
                file.read(_CHUNK_BYTES), _FIRST_VOXEL
            )
        except zlib.error:
            return False
    if len(start) < _FIRST_VOXEL:
        return False
    told = _plain_bytes(start)
    return told is not None and told % 2**32 == told_length(path)


def _plain_bytes(start: bytes) -> int | None:
    """Bytes of a plain file with this header; None if the header tells more than the volume."""
    header = nibabel.Nifti1Header(start[:_HEADER_BYTES], check=False)
    told = [name for name in header if name not in _NEEDED and any(header[name].tobytes())]
    single = header["magic"].item() == header.single_magic.rstrip(b"\0")
    if told or any(start[_HEADER_BYTES:]) or not single or header["vox_offset"] != _FIRST_VOXEL:
        return None
    return _FIRST_VOXEL + math.prod(header.get_data_shape()) * int(header["bitpix"]) // 8
