"""Where the slices of a stack lie along the axis across them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from coala_kedro.imaging.dicom_headers import SliceHeader  # pydicom is slow

SAME_POSITION_MM = 0.01

Groups = list[list["SliceHeader"]]


def heights_mm(slices: Sequence[SliceHeader], along: SliceHeader | None = None) -> np.ndarray:
    """Heights of slices along the axis across them, of shape (N,).

    Args:
        slices: Slices with a position and a direction.
        along: Slice whose axis counts; without it, the first one's.
    """
    return np.array([h.position_mm for h in slices]) @ (along or slices[0]).axes[2]


def places(slices: Sequence[SliceHeader]) -> Groups:
    """Group the slices that lie at one place, from the lowest place up.

    Args:
        slices: Slices of one direction; of several, the first one's direction counts.
    """
    heights = heights_mm(slices)
    order = np.argsort(heights, kind="stable")
    found: Groups = []
    last_mm = -math.inf
    for index in order:
        if heights[index] - last_mm > SAME_POSITION_MM:
            found.append([])
        found[-1].append(slices[index])
        last_mm = heights[index]
    return found


def count_steps(gaps_mm: np.ndarray) -> tuple[np.ndarray, float]:
    """How many usual gaps each gap between slices is, and the largest departure from that (mm).

    Args:
        gaps_mm: Gaps between neighbouring slices, of shape (N,).
    """
    usual_mm = float(np.median(gaps_mm))
    steps = np.maximum(np.rint(gaps_mm / usual_mm), 1)
    return steps, float(np.abs(gaps_mm - steps * usual_mm).max())
