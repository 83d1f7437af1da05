"""Headers of NRRD and MetaImage: faults of the grid, and the data files that they name.

Both are read by SimpleITK, which takes 1 mm for a spacing that is absent and left-posterior-
superior for absent directions, and ignores units. Formats:
https://teem.sourceforge.net/nrrd/format.html, https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from coala_kedro.imaging.geometry import SPACING_TOLERANCE
from coala_kedro.imaging.untrusted import Fault, file_fault

_NRRD, _META = (".nrrd", ".nhdr"), (".mha", ".mhd")
_MAX_HEADER_BYTES = 1 << 20
_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_NRRD_END = re.compile(_LINE_END + _LINE_END)
_META_END = re.compile(
    rb"(?:\s*[^\s=:][^=:\n]*[=:][^\n]*\n)*?[ \t]*ElementDataFile[ \t]*[=:][^\n]*(?:\n|$)"
)
_NRRD_FILE = re.compile(rb"(?:^|[\r\n])[ \t]*data ?file:([^\r\n]*)", re.I)
_META_FILE = re.compile(rb"ElementDataFile(?:(?!ElementDataFile)[^=:])*[=:][=:\s]*([^\r\n]*)")
"""As MetaIO reads it: with `:` for `=`, line ends before it, and names that end at a NUL. The
search stops at the next such word: a file of nothing else would take minutes."""
_NUMBERED = re.compile(r"([^\s%]*%0?\d{0,2}d[^\s%]*)((?:\s+-?\d+){3,4})")
_MAX_FILES = 1 << 20

_IN_PLANE, _SPATIAL = 2, 3
_PATIENT_SPACE = re.compile(
    "(left|right)-(anterior|posterior)-(superior|inferior)(-time)?|[LR][AP][SI]T?", re.IGNORECASE
)
_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
"""MetaImage's names for the direction."""
_STANDARD_TEXTS = frozenset(
    ("scanner-xyz", "scanner-xyz-time", "sx", "sxt", "3d-right-handed", "3d-left-handed",
     "3d-right-handed-time", "3d-left-handed-time", "3dr", "3dl", "mm", "cm", "m", "um", "\u00b5m",
     "nm", "in", "inch", "inches", "micron", "microns", "micrometer", "centimeter", "meter",
     "millimeter", "millimeters", "centimeters", "meters", "pixel", "pixels"),
)  # fmt: skip
"""Spaces of NRRD, and units of length."""

Header = Mapping[str, str]


def data_files(path: Path) -> list[str]:
    """Names of the files that hold the voxels, as a NRRD or MetaImage header gives them.

    Args:
        path: The file with the header.
    """
    return named_in_header(_start(path))


def named_in_header(start: bytes) -> list[str]:
    """Names of all data files in a header that any reader might open.

    Args:
        start: First bytes of a NRRD or MetaImage file.
    """
    header = _header(start, is_nrrd=True) if start.startswith(b"NRRD") else b""
    return [
        name
        for pattern, text in ((_NRRD_FILE, header), (_META_FILE, start))
        for found in pattern.finditer(text)
        for name in _names(found[1].decode(errors="replace").strip(), start[found.end() :])
    ]


def _names(value: str, further: bytes) -> list[str]:
    """File names from a field's value, and from the lines after it where they are a list."""
    if not value or value.upper() == "LOCAL":
        return []
    if value.upper().split()[0] in ("LIST", "SKIPLIST"):
        lines = further.decode(errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip()]
    if not (numbered := _NUMBERED.fullmatch(value)):
        return [value]
    first, last, step = map(int, numbered[2].split()[:3])
    numbers = range(first, last + (1 if step > 0 else -1), step or 1)
    return [numbered[1] % number for number in numbers[:_MAX_FILES]]


def data_file_fault(path: Path) -> str:
    """Why a header's data files may not be read, in words; empty if they may, or there are none.

    A header could name any file of this machine, which would then be read as voxels. So data files
    have to lie in the header's folder or below it, links included.

    Args:
        path: The file with the header.
    """
    start, folder = _start(path), path.resolve().parent
    names, is_endless = named_in_header(start), _header(start, _is_nrrd(path)) == start
    if len(start) == _MAX_HEADER_BYTES and (names or is_endless):
        return f"its header is longer than {_MAX_HEADER_BYTES} bytes"
    for name in names:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or not name.isprintable():
            return "its header names a data file outside its folder: put both into one"
        if fault := file_fault(folder / name):
            return f"its data file cannot be had: {fault}"
        if not (folder / name).resolve().is_relative_to(folder):
            return "its data file is a link to a file outside its folder: put the file itself there"
    return ""


def stored_bytes(path: Path) -> int:
    """Size of a volume's file and of the data files that its header names.

    Args:
        path: The file with the header.
    """
    files = (path.parent / name for name in data_files(path))
    return path.stat().st_size + sum(file.stat().st_size for file in files if file.is_file())


def surplus_fault(path: Path, promised_bytes: int, n_slices: int) -> str:
    """Why a NRRD or MetaImage has more raw voxels than it says, in words; empty if it has not.

    Slices left out of the header are left out of the volume.

    Args:
        path: Of the header; the voxels behind it, or in its data files.
        promised_bytes: Of the voxels, uncompressed, as the header says.
        n_slices: As the header says.
    """
    header = _header(_start(path), _is_nrrd(path))
    fields = _fields(header, _is_nrrd(path))
    is_raw = fields.get("encoding", "").lower() == "raw" or _is_true(fields.get("BinaryData", ""))
    if not is_raw or _is_true(fields.get("CompressedData", "")):
        return ""
    held = stored_bytes(path) - len(header)
    if held - promised_bytes < promised_bytes / max(n_slices, 1):
        return ""
    return f"it holds {held} bytes of voxels, its header tells of {promised_bytes}"


def text_header_faults(path: Path) -> Iterator[Fault]:
    """Find contradictions in the header of a NRRD or a MetaImage; none in other files.

    Args:
        path: The file with the header.

    Yields:
        `no_orientation`, `no_spacing`, `spacing_contradiction`, `rescale_contradiction`,
        `senseless_header`.
    """
    fields = _fields(_header(_start(path), _is_nrrd(path)), _is_nrrd(path))
    if "sizes" in fields:
        yield from _nrrd_faults(fields)
    elif "NDims" in fields:
        yield from _metaimage_faults(fields)


def _is_nrrd(path: Path) -> bool:
    return path.suffix.lower() in _NRRD


def _start(path: Path) -> bytes:
    """First bytes of a NRRD or MetaImage, with its header; empty for other files."""
    if path.suffix.lower() not in (*_NRRD, *_META):
        return b""
    with path.open("rb") as file:
        return file.read(_MAX_HEADER_BYTES)


def _header(start: bytes, is_nrrd: bool) -> bytes:
    """A header: of a NRRD to the first empty line, of a MetaImage to the line of its data."""
    end = _NRRD_END.search(start) if is_nrrd else _META_END.match(start)
    return start[: end.end()] if end else start


def _fields(header: bytes, is_nrrd: bool) -> Header:
    """Values by name; a NRRD's names in small letters, for they may be written in any."""
    fields = {}
    for line in re.split(_LINE_END, header):
        name, *value = re.split("[=:]", line.decode("latin-1"), maxsplit=1)
        fields[(name.lower() if is_nrrd else name).strip()] = "".join(value).strip()
    return fields


def _nrrd_faults(header: Header) -> Iterator[Fault]:
    # `none` stands for an axis that is not of space, such as the segments of a `.seg.nrrd`.
    if header.get("space directions", "").count("(") < _SPATIAL:
        message = f"it has no `space directions`, or fewer than {_SPATIAL}"
        yield Fault("no_orientation" if "spacings" in header else "no_spacing", message)
    space = header.get("space", "")
    if not _PATIENT_SPACE.fullmatch(space):
        named = _shown(space) if space else "not told"
        message = f"its `space` is {named}, which does not tell left from right"
        yield Fault("no_orientation", message)
    units = set(re.findall(r'"([^"]*)"', header.get("space units", "")))
    if units - {"mm", "", "millimeter", "millimeters"}:
        message = f"its `space units` are {', '.join(sorted(map(_shown, units)))}"
        yield Fault("spacing_contradiction", message)


def _metaimage_faults(header: Header) -> Iterator[Fault]:
    spacing, size = (_numbers(header.get(key, "")) for key in ("ElementSpacing", "ElementSize"))
    if not len(spacing) and not len(size):
        yield Fault("no_spacing", "it has neither ElementSpacing nor ElementSize")
    if (spacing <= 0).any():
        yield Fault("senseless_header", f"its ElementSpacing is {header['ElementSpacing']}")
    # Slices may overlap, voxels within them may not.
    both = spacing[:_IN_PLANE], size[:_IN_PLANE]
    if len(spacing) and len(size) and not np.allclose(*both, rtol=SPACING_TOLERANCE, atol=0):
        message = (
            f"ElementSpacing is {header['ElementSpacing']}, ElementSize {header['ElementSize']}"
        )
        yield Fault("spacing_contradiction", message)
    if not any(key in header for key in _DIRECTIONS):
        message = "it has no TransformMatrix, which tells left from right"
        yield Fault("no_orientation", message)
    if (unit := header.get("DistanceUnits", "mm")) not in ("mm", "?"):
        yield Fault("spacing_contradiction", f"its DistanceUnits are {_shown(unit)}")
    for part, none in (("Slope", 1), ("Offset", 0)):
        name = f"ElementToIntensityFunction{part}"
        if (_numbers(header.get(name, "")) != none).any():
            message = f"its {name} is {header[name]}, which readers ignore"
            yield Fault("rescale_contradiction", message)


def _is_true(text: str) -> bool:
    return text.lower().startswith(("t", "1"))


def _shown(text: str) -> str:
    """A header's text if it is one of the standard's; any other may tell who somebody is."""
    return text if text.lower() in _STANDARD_TEXTS else "of no known kind"


def _numbers(text: str) -> np.ndarray:
    try:
        return np.array([float(part) for part in text.split()])
    except ValueError:
        return np.array([])
