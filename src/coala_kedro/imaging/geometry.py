"""Between images and arrays: one grid, one order of axes, whole-number labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

GRID_TOLERANCE = 1e-3
"""Largest difference within one grid: mm for spacing and origin, none for direction cosines.

NIfTI stores them in single precision, so a mask that went through a file differs a little.
"""


def grid_differences(image: sitk.Image, reference: sitk.Image) -> list[str]:
    """Say where the grid of an image departs from a reference's.

    Args:
        image: The image in question.
        reference: The image whose grid is right.

    Returns:
        One phrase for each of size, spacing, origin and direction that differs by more than
        `GRID_TOLERANCE`, with both values, xyz; empty if the two share one grid.
    """
    if image.GetDimension() != reference.GetDimension():
        return [f"{image.GetDimension()} dimensions instead of {reference.GetDimension()}"]
    compared = (
        ("size", "voxels", image.GetSize(), reference.GetSize()),
        ("spacing", "mm", image.GetSpacing(), reference.GetSpacing()),
        ("origin", "mm", image.GetOrigin(), reference.GetOrigin()),
        ("direction", "cosines", image.GetDirection(), reference.GetDirection()),
    )
    return [
        f"{name} {_shown(given)} instead of {_shown(expected)} {unit}"
        for name, unit, given, expected in compared
        if not np.allclose(given, expected, rtol=0, atol=GRID_TOLERANCE)
    ]


def _shown(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{round(value, 4):g}" for value in values) + ")"


def spacing_zyx_mm(image: sitk.Image) -> tuple[float, float, float]:
    """Voxel spacing in mm, in the order of an array's axes: zyx."""
    return tuple(reversed(image.GetSpacing()))


def volume_ml_per_voxel(image: sitk.Image) -> float:
    """Volume of one voxel in mL."""
    return math.prod(image.GetSpacing()) / 1000


def image_like(array_zyx: np.ndarray, reference: sitk.Image) -> sitk.Image:
    """Put an array on a reference's grid.

    Args:
        array_zyx: Array (z, y, x); bool becomes uint8, every other type is kept.
        reference: Image of the same size.

    Returns:
        Image with the array's values and the reference's spacing, origin and direction.

    Raises:
        ValueError: The array's shape is not the reference's size.
    """
    expected = tuple(reversed(reference.GetSize()))
    if array_zyx.shape != expected:
        raise ValueError(
            f"An array of shape {array_zyx.shape} does not fit a grid of shape {expected} (zyx)."
        )
    image = sitk.GetImageFromArray(
        array_zyx.astype(np.uint8) if array_zyx.dtype == bool else array_zyx
    )
    image.CopyInformation(reference)
    return image


def labels_zyx(image: sitk.Image, name: str) -> np.ndarray:
    """Copy a mask's or a label map's values, after checking that they are labels.

    Args:
        image: Image of any scalar type; masks saved as floating point are common.
        name: What the image is, for the message.

    Returns:
        Array (z, y, x) of the image's own type.

    Raises:
        ValueError: A value is negative or not a whole number: this is no mask but, perhaps, the
            scan, or a mask resampled with interpolation.
    """
    array = sitk.GetArrayFromImage(image)  # a view would dangle once the image is gone
    if array.dtype.kind == "u":
        return array
    wrong = array < 0
    if array.dtype.kind == "f":
        wrong |= array != np.rint(array)  # also true of NaN
    if wrong.any():
        raise ValueError(
            f"{name} holds {array[wrong][0]:g}, which is no label: values must be whole numbers "
            "from 0 up. Is it a scan, or a mask resampled with interpolation?"
        )
    return array


def replace_labels(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replace each label of an array (z, y, x) by the table's value at that index."""
    # Plane by plane: numpy casts an index to 8 bytes a voxel.
    return np.stack([table[plane.astype(np.intp)] for plane in labels])
