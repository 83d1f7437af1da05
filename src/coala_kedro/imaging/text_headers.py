"""NRRD and MetaImage: what their headers say of the grid, and what they leave out.

Both are read by SimpleITK, which takes 1 mm for a spacing that is not told and left-posterior-
superior for directions that are not, and ignores units. Formats:
https://teem.sourceforge.net/nrrd/format.html, https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from coala_kedro.imaging.nifti_forms import SPACING_TOLERANCE, Fault

_MAX_HEADER_BYTES = 1 << 20
_IN_PLANE, _SPATIAL = 2, 3
_PATIENT_SPACE = re.compile(
    "(left|right)-(anterior|posterior)-(superior|inferior)(-time)?|[LR][AP][SI]T?", re.IGNORECASE
)
_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
"""MetaImage's names for one thing."""

Header = Mapping[str, str]


def text_header_faults(path: Path) -> Iterator[Fault]:
    """Tell what keeps a NRRD or a MetaImage from being believed; nothing of other files.

    Yields:
        `no_orientation`, `no_spacing`, `spacing_contradiction`, `rescale_contradiction`,
        `senseless_header`.
    """
    suffix = path.suffix.lower()
    if suffix in (".nrrd", ".nhdr"):
        header = _read_header(path, ":", end="")
        yield from _nrrd_faults({key.lower(): value for key, value in header.items()})
    elif suffix in (".mha", ".mhd"):
        yield from _metaimage_faults(_read_header(path, "=", end="ElementDataFile"))


def _read_header(path: Path, between: str, end: str) -> Header:
    """Fields of a header; of a file that cannot be read none, which SimpleITK tells."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_HEADER_BYTES).split(b"\n")
    except OSError:
        return {}
    header: dict[str, str] = {}
    for line in lines:
        key, _, value = line.decode("latin-1").strip().partition(between)
        if key.strip() == end:
            break
        header[key.strip()] = value.strip()
    return header


_STANDARD_TEXTS = frozenset(
    ("scanner-xyz", "scanner-xyz-time", "sx", "sxt", "3d-right-handed", "3d-left-handed",
     "3d-right-handed-time", "3d-left-handed-time", "3dr", "3dl", "mm", "cm", "m", "um", "\u00b5m",
     "nm", "in", "inch", "inches", "micron", "microns", "micrometer", "centimeter", "meter",
     "millimeter", "millimeters", "centimeters", "meters", "pixel", "pixels"),
)  # fmt: skip
"""Spaces of NRRD, and units of length."""


def _nrrd_faults(header: Header) -> Iterator[Fault]:
    if "sizes" not in header:
        return
    # `none` stands for an axis that is not of space, such as the segments of a `.seg.nrrd`.
    if header.get("space directions", "").count("(") < _SPATIAL:
        told = f"it has no `space directions`, or fewer than {_SPATIAL}"
        yield Fault("no_orientation" if "spacings" in header else "no_spacing", told)
    space = header.get("space", "")
    if not _PATIENT_SPACE.fullmatch(space):
        named = _shown(space) if space else "not told"
        told = f"its `space` is {named}, which does not tell left from right"
        yield Fault("no_orientation", told)
    units = set(re.findall(r'"([^"]*)"', header.get("space units", "")))
    if units - {"mm", "", "millimeter", "millimeters"}:
        yield Fault(
            "spacing_contradiction",
            f"its `space units` are {', '.join(sorted(map(_shown, units)))}",
        )


def _metaimage_faults(header: Header) -> Iterator[Fault]:
    if "NDims" not in header:
        return
    spacing, size = (_numbers(header.get(key, "")) for key in ("ElementSpacing", "ElementSize"))
    if not len(spacing) and not len(size):
        yield Fault("no_spacing", "it has neither ElementSpacing nor ElementSize")
    if (spacing <= 0).any():
        yield Fault("senseless_header", f"its ElementSpacing is {header['ElementSpacing']}")
    # Slices may overlap, voxels within them may not.
    both = spacing[:_IN_PLANE], size[:_IN_PLANE]
    if len(spacing) and len(size) and not np.allclose(*both, rtol=SPACING_TOLERANCE, atol=0):
        told = f"ElementSpacing is {header['ElementSpacing']}, ElementSize {header['ElementSize']}"
        yield Fault("spacing_contradiction", told)
    if not any(key in header for key in _DIRECTIONS):
        told = "it has no TransformMatrix, which tells left from right"
        yield Fault("no_orientation", told)
    if header.get("DistanceUnits", "mm") not in ("mm", "?"):
        yield Fault(
            "spacing_contradiction", f"its DistanceUnits are {_shown(header['DistanceUnits'])}"
        )
    for part, none in (("Slope", 1), ("Offset", 0)):
        name = f"ElementToIntensityFunction{part}"
        if (_numbers(header.get(name, "")) != none).any():
            told = f"its {name} is {header[name]}, which readers ignore"
            yield Fault("rescale_contradiction", told)


def _shown(text: str) -> str:
    """A header's text if it is one of the standard's; any other may tell who somebody is."""
    return text if text.lower() in _STANDARD_TEXTS else "of no known kind"


def _numbers(text: str) -> np.ndarray:
    try:
        return np.array([float(part) for part in text.split()])
    except ValueError:
        return np.array([])
