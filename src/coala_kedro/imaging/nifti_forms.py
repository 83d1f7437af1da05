"""The statements of a NIfTI header on its grid, and where two of them differ."""

from __future__ import annotations

from typing import NamedTuple

import nibabel
import numpy as np

SPACING_TOLERANCE = 2e-3
"""Share by which two statements of a spacing may differ: a volume by at most 0.6 %. Headers are
written by hand with two or three decimals."""
DIRECTION_TOLERANCE = 3e-3
"""Of a direction cosine: a quaternion near half a turn is exact to 1.3e-3 in single precision."""
ORIGIN_TOLERANCE_MM = 0.1


class Fault(NamedTuple):
    """A reason why a file cannot be believed.

    Attributes:
        code: The check of screening that it fails.
        told: What the file says, in words.
    """

    code: str
    told: str


class Form(NamedTuple):
    """A qform or an sform: index to mm, RAS."""

    name: str
    affine: np.ndarray

    @property
    def spacing_mm(self) -> np.ndarray:
        """Lengths of a voxel's sides, xyz."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def cosines(self) -> np.ndarray:
        """Directions of the axes, in columns, xyz."""
        return self.affine[:3, :3] / self.spacing_mm


def difference(one: Form, other: Form) -> str:
    """In words; empty if both forms are the same within rounding."""
    names = f"the {one.name} says {{}}, the {other.name} {{}}"
    if not np.allclose(one.cosines, other.cosines, rtol=0, atol=DIRECTION_TOLERANCE):
        axes = ["".join(nibabel.aff2axcodes(form.affine)) for form in (one, other)]
        if axes[0] == axes[1]:
            axes = [shown(form.cosines.ravel()) for form in (one, other)]
        return "direction: " + names.format(*axes)
    origin, other_origin = one.affine[:3, 3], other.affine[:3, 3]
    if not np.allclose(origin, other_origin, rtol=0, atol=ORIGIN_TOLERANCE_MM):
        return "origin: " + names.format(f"{shown(origin)} mm", f"{shown(other_origin)} mm")
    return ""


def shown(values: np.ndarray) -> str:
    """Numbers for a message."""
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
