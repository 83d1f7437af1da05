"""NIfTI files: the grid in their headers, and where headers contradict themselves.

A header gives the grid up to three times: `pixdim` (spacing), qform and sform. ITK and nnU-Net take
the spacing from `pixdim`, nibabel and TotalSegmentator from the sform, so all have to agree.
Standard: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.decompression import is_gzip, open_decompressed
from coala_kedro.imaging.geometry import SPACING_TOLERANCE
from coala_kedro.imaging.untrusted import Fault, file_fault

_DIRECTION_TOLERANCE = 3e-3
"""Of a direction cosine: a quaternion near half a turn is exact to 1.3e-3 in single precision."""
_ORIGIN_TOLERANCE_MM = 0.1

_SINGLE, _PAIR = (".nii", ".nii.gz"), (".hdr", ".hdr.gz", ".img", ".img.gz")
_HEADER_BYTES = {348: "Nifti1Header", 540: "Nifti2Header"}
"""nibabel's class by the length of a header."""
_MM_A_UNIT = {1: 1000.0, 3: 0.001}
"""By the unit of space of `xyzt_units`: metre, micron; mm is 2, and 0 where nothing is said."""
_SPACE_UNIT = 0b111
_SCANNER_CODES = (1, 2)
"""Of a form in the scanner's space, or aligned to another scan; others are of an atlas."""
_SPATIAL = 3
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class _Form(NamedTuple):
    """A qform or an sform: index to mm, RAS; columns are the axes x, y, z."""

    name: str
    affine: np.ndarray

    @property
    def spacing_mm(self) -> np.ndarray:
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def cosines(self) -> np.ndarray:
        return self.affine[:3, :3] / self.spacing_mm


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI or Analyze file, whose header alone is read.

    Attributes:
        path: File of the voxels; in a pair, the `.img`.
        header: Of nibabel, as stored.
        is_pair: Whether the header is a file of its own.
        is_gzip: Whether the voxels are compressed, whatever the name says.
    """

    path: Path
    header: Any
    is_pair: bool
    is_gzip: bool

    @classmethod
    def at(cls, path: Path) -> NiftiFile | None:
        """Read a file's header; None if it is no NIfTI, or cannot be read.

        Args:
            path: Either file of a pair, or a single file.
        """
        name = path.name.lower()
        if not name.endswith((*_SINGLE, *_PAIR)):
            return None
        is_pair = name.endswith(_PAIR)
        voxels, head = (_beside(path, "img"), _beside(path, "hdr")) if is_pair else (path, path)
        if file_fault(voxels) or file_fault(head):
            return None
        try:
            with open_decompressed(head) as file:
                block = file.read(max(_HEADER_BYTES))
            compressed = is_gzip(voxels)
        except (OSError, EOFError, zlib.error):
            return None
        import nibabel

        for n_bytes, kind in _HEADER_BYTES.items():
            sizes = (int.from_bytes(block[:4], order) for order in ("little", "big"))
            if n_bytes in sizes and len(block) >= n_bytes:
                header = getattr(nibabel, kind)(block[:n_bytes], check=False)
                return cls(voxels, header, is_pair, compressed)
        return None

    @property
    def is_plain(self) -> bool:
        """Whether every program reads the same volume from it, as a `.nii.gz` of NIfTI-1 in mm."""
        as_named = self.is_gzip and self.path.name.endswith(".nii.gz")
        return as_named and not self.is_odd and not any(self.faults()) and self._mm == 1

    @property
    def is_odd(self) -> bool:
        """Whether SimpleITK cannot read it, or takes its place or voxels from elsewhere."""
        suffixes = (".nii.gz", ".img.gz") if self.is_gzip else (".nii", ".img")
        return (
            not self.path.name.endswith(suffixes)
            or type(self.header).__name__ == _HEADER_BYTES[540]
            or (self.path.suffix == ".gz" and self.path.with_suffix("").exists())
            or len(self._counted_codes) < len(self._codes)
        )

    @property
    def template_code(self) -> int:
        """Code of the forms, if all of them place the voxels in an atlas; else 0."""
        codes = self._codes.values()
        return 0 if {*codes} & {*_SCANNER_CODES} else max(codes, default=0)

    def faults(self, n_bytes: int | None = None) -> Iterator[Fault]:
        """Find where the header contradicts itself or the file.

        Args:
            n_bytes: Length of the voxels' file, decompressed; more than promised is a fault too.

        Yields:
            `no_orientation`, `spacing_contradiction`, `form_contradiction`,
            `rescale_contradiction`, `senseless_header`, `unreadable`.
        """
        from nibabel.spatialimages import HeaderDataError

        if not self._is_nifti:
            yield Fault("no_orientation", "it is an Analyze file, which has no orientation")
            return
        try:
            yield from self._layout_faults(n_bytes)
            yield from self._rescale_faults()
            if len(self._size) >= _SPATIAL:
                yield from self._grid_faults()
        except (HeaderDataError, ValueError) as error:
            yield Fault("senseless_header", str(error))

    @property
    def needed_bytes(self) -> int | None:
        """Uncompressed length of the file according to its header; None if that is senseless."""
        from nibabel.spatialimages import HeaderDataError

        offset = float(self.header["vox_offset"])
        try:
            voxel_bytes = self.header.get_data_dtype().itemsize
        except HeaderDataError:
            return None
        if min(self._size, default=0) < 1 or not 0 <= offset < math.inf:
            return None
        return int(offset) + math.prod(self._size) * voxel_bytes

    def n_nonfinite_voxels(self) -> int:
        """Count NaN and infinity as stored; SimpleITK reads zeros there (ITK pull request 6683)."""
        from nibabel.arrayproxy import ArrayProxy

        if self.header.get_data_dtype().kind != "f":
            return 0
        with open_decompressed(self.path) as file:
            voxels = ArrayProxy(file, self.header).get_unscaled()
        return int(np.count_nonzero(~np.isfinite(voxels)))

    def read(self) -> sitk.Image:
        """Read the volume (xyz, LPS, mm) by nibabel, where SimpleITK cannot; float32 if rescaled.

        Raises:
            ValueError: The voxels are no numbers, or not three-dimensional.
            OSError, EOFError, zlib.error: The file is cut off or damaged.
        """
        from nibabel.arrayproxy import ArrayProxy

        with open_decompressed(self.path) as file:
            stored = ArrayProxy(file, self.header)
            voxels = np.asanyarray(stored)
        if stored.slope != 1 or stored.inter != 0:
            voxels = voxels.astype(np.float32)  # as SimpleITK does
        n_dimensions = max((_SPATIAL, *np.flatnonzero(np.array(voxels.shape) > 1) + 1))
        voxels = voxels.reshape(voxels.shape[:n_dimensions], order="F")
        if voxels.dtype.kind not in "iuf" or voxels.ndim != _SPATIAL:
            raise ValueError(f"it holds voxels of {voxels.dtype}, {voxels.ndim}-dimensional")
        image = sitk.GetImageFromArray(voxels.astype(voxels.dtype.newbyteorder("=")).T)
        form = self._counted_forms()[-1]
        image.SetSpacing((self._pixdim * self._mm).tolist())
        image.SetOrigin((_LPS @ form.affine)[:3, 3].tolist())
        image.SetDirection((_LPS[:3, :3] @ form.cosines).ravel().tolist())
        return image

    @property
    def _is_nifti(self) -> bool:
        return self.header["magic"].item()[:2] in (b"n+", b"ni")

    @property
    def _size(self) -> list[int]:
        n_dimensions = int(self.header["dim"][0])
        return self.header["dim"][1 : n_dimensions + 1].tolist()

    @property
    def _mm(self) -> float:
        return _MM_A_UNIT.get(int(self.header["xyzt_units"]) & _SPACE_UNIT, 1.0)

    @property
    def _pixdim(self) -> np.ndarray:
        return self.header["pixdim"][1:4].astype(float)

    def _layout_faults(self, n_bytes: int | None) -> Iterator[Fault]:
        dim, offset = self.header["dim"].tolist(), float(self.header["vox_offset"])
        if not 1 <= dim[0] < len(dim) or min(self._size) < 1:
            yield Fault("senseless_header", f"its size is {dim}")
            return
        is_single = self.header["magic"].item()[1:2] == b"+"
        begins = 0 if self.is_pair else self.header.single_vox_offset
        if is_single == self.is_pair or not begins <= offset < math.inf:
            yield Fault("senseless_header", f"its voxels begin at byte {offset:g} of the header")
            return
        if (needed := self.needed_bytes) is None:
            yield Fault("unreadable", f"its type of voxels is {int(self.header['datatype'])}")
        elif n_bytes is not None and n_bytes - needed >= (needed - offset) / self._size[-1]:
            message = f"it holds {n_bytes} bytes, the header tells of {needed}"
            yield Fault("senseless_header", message)

    def _rescale_faults(self) -> Iterator[Fault]:
        slope, intercept = (float(self.header[key]) for key in ("scl_slope", "scl_inter"))
        is_none = all(math.isnan(value) or value == 0 for value in (slope, intercept))
        is_one = slope != 0 and math.isfinite(slope) and math.isfinite(intercept)
        if not is_none and not is_one:
            message = f"scl_slope is {slope:g} and scl_inter {intercept:g}"
            yield Fault("rescale_contradiction", message)

    def _grid_faults(self) -> Iterator[Fault]:
        if not (self._pixdim > 0).all() or not np.isfinite(self._pixdim).all():
            yield Fault("senseless_header", f"pixdim is {_shown(self._pixdim)}")
            return
        forms = self._counted_forms()
        for form in forms:
            if not np.isfinite(form.affine).all() or not form.spacing_mm.all():
                yield Fault("senseless_header", f"its {form.name} holds NaN or a spacing of 0")
                return
            pixdim_mm = self._pixdim * self._mm
            if not np.allclose(form.spacing_mm, pixdim_mm, rtol=SPACING_TOLERANCE, atol=0):
                message = f"pixdim is {_shown(pixdim_mm)} mm, the {form.name} says "
                yield Fault("spacing_contradiction", f"{message}{_shown(form.spacing_mm)} mm")
        if not forms:
            yield Fault("no_orientation", "it has neither qform nor sform (both codes are 0)")
        if len(forms) > 1 and (message := _difference(*forms)):
            yield Fault("form_contradiction", message)

    def _counted_forms(self) -> list[_Form]:
        """The forms that count, the sform last."""
        header = self.header.copy()
        header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1  # 0 is 1, by the standard
        forms = [_Form(name, getattr(header, f"get_{name}")()) for name in self._counted_codes]
        for form in forms:
            form.affine[:3] *= self._mm
        return forms

    @property
    def _counted_codes(self) -> dict[str, int]:
        """Codes of the scanner's forms, or of an atlas' forms if there is none of the scanner."""
        scanner = {name: code for name, code in self._codes.items() if code in _SCANNER_CODES}
        return scanner or self._codes

    @property
    def _codes(self) -> dict[str, int]:
        """Codes of the forms in use."""
        names = ("qform", "sform") if self._is_nifti else ()
        return {name: int(code) for name in names if (code := self.header[f"{name}_code"]) > 0}


def _difference(one: _Form, other: _Form) -> str:
    """How two forms differ, in words; empty if they are the same within rounding."""
    import nibabel

    names = f"the {one.name} says {{}}, the {other.name} {{}}"
    if not np.allclose(one.cosines, other.cosines, rtol=0, atol=_DIRECTION_TOLERANCE):
        axes = ["".join(nibabel.aff2axcodes(form.affine)) for form in (one, other)]
        if axes[0] == axes[1]:
            axes = [_shown(form.cosines.ravel()) for form in (one, other)]
        return "direction: " + names.format(*axes)
    origins = one.affine[:3, 3], other.affine[:3, 3]
    if not np.allclose(*origins, rtol=0, atol=_ORIGIN_TOLERANCE_MM):
        return "origin: " + names.format(*(f"{_shown(origin)} mm" for origin in origins))
    return ""


def _shown(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(re.sub(r"(?i)(hdr|img)(\.gz)?$", rf"{suffix}\2", path.name))
