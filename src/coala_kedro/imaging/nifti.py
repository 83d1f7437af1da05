"""NIfTI files: what their headers say of the grid, and where they contradict themselves.

A header tells the grid up to three times: `pixdim` (spacing), the qform and the sform (spacing,
origin and direction; in use where their code is above 0). ITK, and with it nnU-Net, takes the
spacing from `pixdim` and the rest from the sform; nibabel, and with it TotalSegmentator, takes all
from the sform. A file whose statements differ is one volume here and another there, so it is read
only where they agree. Standard: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError

from coala_kedro.imaging.nifti_forms import SPACING_TOLERANCE, Fault, Form, difference, shown
from coala_kedro.imaging.untrusted import file_fault

_GZIP = b"\x1f\x8b"
_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz")
_HEADER_BYTES = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_MAGIC_BYTES = 4
_MM_A_UNIT = {1: 1000.0, 3: 0.001}
"""By the unit of space of `xyzt_units`: metre, micron; mm is 2, and 0 where nothing is said."""
_SPACE_UNIT = 0b111
_SCANNER_CODES = (1, 2)
"""Of a form in the scanner's space, or aligned to another scan; others are of an atlas."""
_SPATIAL = 3
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI or Analyze file, whose header alone is read.

    Attributes:
        path: File of the voxels; in a pair, the `.img`.
        header: As stored.
        is_pair: Whether the header is a file of its own.
        is_gzip: Whether the voxels are compressed, whatever the name says.
    """

    path: Path
    header: Any
    is_pair: bool
    is_gzip: bool

    @classmethod
    def at(cls, path: Path) -> NiftiFile | None:
        """Read a file's header; None for what is no NIfTI, or not to be read."""
        name = path.name.lower()
        if not name.endswith(_SUFFIXES):
            return None
        is_pair = not name.endswith((".nii", ".nii.gz"))
        voxels, head = (_beside(path, "img"), _beside(path, "hdr")) if is_pair else (path, path)
        if file_fault(voxels) or file_fault(head):
            return None
        try:
            with open_decompressed(head) as file:
                block = file.read(max(_HEADER_BYTES))
            is_gzip = _is_gzip(voxels)
        except (OSError, EOFError, zlib.error):
            return None
        for n_bytes, kind in _HEADER_BYTES.items():
            told = (int.from_bytes(block[:4], order) for order in ("little", "big"))
            if n_bytes in told and len(block) >= n_bytes:
                return cls(voxels, kind(block[:n_bytes], check=False), is_pair, is_gzip)
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
        suffix_lies = not self.path.name.endswith(suffixes)
        is_nifti_2 = isinstance(self.header, nibabel.Nifti2Header)
        is_shadowed = self.path.suffix == ".gz" and self.path.with_suffix("").exists()
        return (
            suffix_lies or is_nifti_2 or is_shadowed or len(self._counted_codes) < len(self._codes)
        )

    @property
    def template_code(self) -> int:
        """Code of the forms, if all of them place the voxels in an atlas; else 0."""
        codes = self._codes.values()
        return 0 if {*codes} & {*_SCANNER_CODES} else max(codes, default=0)

    def faults(self, n_bytes: int | None = None) -> Iterator[Fault]:
        """Tell where the header contradicts itself or the file.

        Args:
            n_bytes: Length of the file of the voxels, decompressed, if more than the header tells
                of is to be told.

        Yields:
            `no_orientation`, `spacing_contradiction`, `form_contradiction`,
            `rescale_contradiction`, `senseless_header`, `unreadable`.
        """
        if not self._is_nifti:
            yield Fault("no_orientation", "it is an Analyze file, which has no orientation")
            return
        try:
            yield from self._layout_faults(n_bytes)
            yield from self._rescale_faults()
            if self.n_dimensions >= _SPATIAL:
                yield from self._grid_faults()
        except (HeaderDataError, ValueError) as error:
            yield Fault("senseless_header", str(error))

    @property
    def needed_bytes(self) -> int | None:
        """What the header says the file holds, uncompressed; None if it makes no sense."""
        size = self.header["dim"][1 : self.n_dimensions + 1].tolist()
        offset = float(self.header["vox_offset"])
        try:
            voxel_bytes = self.header.get_data_dtype().itemsize
        except HeaderDataError:
            return None
        if not size or min(size) < 1 or not 0 <= offset < math.inf:
            return None
        return int(offset) + math.prod(size) * voxel_bytes

    def n_nonfinite_voxels(self) -> int:
        """Count NaN and infinity as stored: SimpleITK reads them as zeros (ITK pull request 6683).

        Returns:
            0 where values are whole numbers, which are not read.
        """
        if self.header.get_data_dtype().kind != "f":
            return 0
        with open_decompressed(self.path) as file:
            voxels = ArrayProxy(file, self.header).get_unscaled()
        return int(np.count_nonzero(~np.isfinite(voxels)))

    @property
    def n_dimensions(self) -> int:
        """As `dim[0]` says."""
        return int(self.header["dim"][0])

    def read(self) -> sitk.Image:
        """Read the volume (xyz, LPS, mm) by nibabel: where SimpleITK cannot.

        Returns:
            Image of the stored type, or 32-bit floating point where values are rescaled.

        Raises:
            ValueError: The voxels are no numbers, or not three-dimensional.
            OSError, EOFError, zlib.error: The file is cut off or damaged.
        """
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
        form = self._counted()[-1]
        image.SetSpacing((self._pixdim * self._mm).tolist())
        image.SetOrigin((_LPS @ form.affine)[:3, 3].tolist())
        image.SetDirection((_LPS[:3, :3] @ form.cosines).ravel().tolist())
        return image

    @property
    def _is_nifti(self) -> bool:
        return self.header["magic"].item()[:2] in (b"n+", b"ni")

    @property
    def _mm(self) -> float:
        return _MM_A_UNIT.get(int(self.header["xyzt_units"]) & _SPACE_UNIT, 1.0)

    @property
    def _pixdim(self) -> np.ndarray:
        return self.header["pixdim"][1:4].astype(float)

    def _layout_faults(self, n_bytes: int | None) -> Iterator[Fault]:
        dim, offset = self.header["dim"].tolist(), float(self.header["vox_offset"])
        size = dim[1 : self.n_dimensions + 1]
        if not 1 <= self.n_dimensions < len(dim) or min(size) < 1:
            yield Fault("senseless_header", f"its size is {dim}")
            return
        is_single = self.header["magic"].item()[1:2] == b"+"
        begins = 0 if self.is_pair else self.header.sizeof_hdr + _MAGIC_BYTES
        if is_single == self.is_pair or not begins <= offset < math.inf:
            yield Fault("senseless_header", f"its voxels begin at byte {offset:g} of the header")
            return
        needed = self.needed_bytes
        if needed is None:
            yield Fault("unreadable", f"its type of voxels is {int(self.header['datatype'])}")
        elif n_bytes is not None and n_bytes - needed >= (needed - offset) / size[-1]:
            told = f"it holds {n_bytes} bytes, the header tells of {needed}"
            yield Fault("senseless_header", told)

    def _rescale_faults(self) -> Iterator[Fault]:
        slope, intercept = (float(self.header[key]) for key in ("scl_slope", "scl_inter"))
        is_none = all(math.isnan(value) or value == 0 for value in (slope, intercept))
        is_one = slope != 0 and math.isfinite(slope) and math.isfinite(intercept)
        if not is_none and not is_one:
            told = f"scl_slope is {slope:g} and scl_inter {intercept:g}"
            yield Fault("rescale_contradiction", told)

    def _grid_faults(self) -> Iterator[Fault]:
        if not (self._pixdim > 0).all() or not np.isfinite(self._pixdim).all():
            yield Fault("senseless_header", f"pixdim is {shown(self._pixdim)}")
            return
        forms = self._counted()
        for form in forms:
            if not np.isfinite(form.affine).all() or not form.spacing_mm.all():
                yield Fault("senseless_header", f"its {form.name} holds NaN or a spacing of 0")
                return
            told_mm = self._pixdim * self._mm
            if not np.allclose(form.spacing_mm, told_mm, rtol=SPACING_TOLERANCE, atol=0):
                told = f"pixdim is {shown(told_mm)} mm, the {form.name} says "
                yield Fault("spacing_contradiction", f"{told}{shown(form.spacing_mm)} mm")
        if not forms:
            yield Fault("no_orientation", "it has neither qform nor sform (both codes are 0)")
        if len(forms) > 1 and (told := difference(*forms)):
            yield Fault("form_contradiction", told)

    def _counted(self) -> list[Form]:
        """The forms that count, the sform last."""
        header = self.header.copy()
        # ITK and the standard: 0 is 1.
        header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
        forms = []
        for name in self._counted_codes:
            affine = getattr(header, f"get_{name}")()
            affine[:3] *= self._mm
            forms.append(Form(name, affine))
        return forms

    @property
    def _counted_codes(self) -> dict[str, int]:
        """Of the scanner's forms, or of an atlas's if there is none of the scanner."""
        scanner = {name: code for name, code in self._codes.items() if code in _SCANNER_CODES}
        return scanner or self._codes

    @property
    def _codes(self) -> dict[str, int]:
        """Of the forms in use."""
        if not self._is_nifti:
            return {}
        codes = {name: int(self.header[f"{name}_code"]) for name in ("qform", "sform")}
        return {name: code for name, code in codes.items() if code > 0}


def open_decompressed(path: Path) -> gzip.GzipFile | BufferedReader:
    """Open a file that may be gzip, whatever its name says."""
    return gzip.open(path) if _is_gzip(path) else path.open("rb")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def _beside(path: Path, suffix: str) -> Path:
    """The file of a pair, in the letters of the other's name."""
    at = path.name.lower().rindex(".hdr" if ".hdr" in path.name.lower() else ".img") + 1
    return path.with_name(path.name[:at] + suffix + path.name[at + len(suffix) :])
