"""Grids, orientations and labels of images, and the way between images and arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

GRID_TOLERANCE = 1e-3
"""Largest difference within one grid: mm for spacing and origin, none for direction cosines.

NIfTI stores them in single precision, so a mask that went through a file differs a little.
"""
SPACING_TOLERANCE = 2e-3
"""Share by which two statements of a spacing may differ: a volume by at most 0.6 %. Headers are
written by hand with two or three decimals."""
LATTICE_TOLERANCE = 0.01
"""Largest departure from a reference's lattice anywhere in a mask, in voxels: header positions are
rounded to some decimals, a half-voxel shift is a mistake."""
CANONICAL = "LPS"
"""The orientation in which every network sees a scan, and every table and picture its axes: columns
run to the patient's left, rows to the back (posterior), slices up (superior)."""


Grid = sitk.Image | sitk.ImageFileReader
"""An image, or a reader that has read the header of one."""


def grid_differences(image: Grid, reference: Grid) -> list[str]:
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
    """Voxel spacing in mm, in the order of an array's axes: zyx.

    Args:
        image: A three-dimensional image.
    """
    return tuple(reversed(image.GetSpacing()))


def volume_ml_per_voxel(image: sitk.Image) -> float:
    """Volume of one voxel in mL.

    Args:
        image: A three-dimensional image with its spacing in mm.
    """
    return math.prod(image.GetSpacing()) / 1000


def image_like(array_zyx: np.ndarray, reference: Grid) -> sitk.Image:
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
    image.SetSpacing(reference.GetSpacing())
    image.SetOrigin(reference.GetOrigin())
    image.SetDirection(reference.GetDirection())
    return image


def orientation_of(grid: Grid) -> str:
    """Where the axes of an image run, to the nearest axis of the patient.

    Args:
        grid: Three-dimensional.

    Returns:
        A letter for x, y and z each: L(eft) or R(ight), P(osterior) or A(nterior), S(uperior) or
        I(nferior) is the side that the axis runs to. An axial CT in DICOM is `LPS`, and nibabel's
        `as_closest_canonical` makes `RAS`.
    """
    return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.GetDirection())


def oriented(image: sitk.Image, orientation: str = CANONICAL) -> sitk.Image:
    """Exchange and flip the axes of an image; no voxel is resampled, oblique stays oblique.

    A scan comes out the same in whichever of the 48 orders and senses of axes it was stored.

    Args:
        image: Three-dimensional.
        orientation: As `orientation_of` tells it.

    Returns:
        The same voxels at the same places; the same image where it is so oriented already.
    """
    if orientation_of(image) == orientation:
        return image
    return sitk.DICOMOrient(image, orientation)


def upright(image: sitk.Image) -> sitk.Image:
    """Bring an image to the canonical orientation, without its tilt and its place.

    For tools that see voxels and spacing alone. NIfTI keeps a tilted direction in single precision,
    differently for each order of axes, and what tools round from it could differ by a voxel.

    Args:
        image: Three-dimensional.

    Returns:
        The voxels of `oriented(image)`, with origin 0 and axes along the patient's.
    """
    made = sitk.Image(oriented(image))
    made.SetOrigin((0.0, 0.0, 0.0))
    made.SetDirection(np.eye(3).ravel().tolist())
    return made


def put_back(made: sitk.Image, scan: Grid) -> sitk.Image:
    """Undo `oriented` or `upright`: put an image of that orientation on the scan's own grid.

    Args:
        made: Of the orientation and size that the scan was brought to.
        scan: The scan as it is stored.

    Returns:
        The voxels of `made` on exactly the scan's spacing, origin and direction.

    Raises:
        ValueError: It is of another size.
    """
    turned = oriented(made, orientation_of(scan))
    return image_like(sitk.GetArrayViewFromImage(turned), scan)


def paste_on_grid(mask: sitk.Image, reference: Grid, *, resample: bool = False) -> sitk.Image:
    """Put a mask on a scan's grid.

    A mask whose voxels are voxels of the scan (axes flipped or exchanged, slices left out at the
    ends, or more of them) is put there voxel for voxel; 0 is where it does not reach.

    Args:
        mask: Three-dimensional.
        reference: The scan, or its header.
        resample: Take the nearest voxel of a mask on any other grid.

    Returns:
        Mask of the same type on the reference's grid; the same mask if it is on that grid.

    Raises:
        ValueError: The mask is on another grid (and `resample` is not set), or voxels that are not
            0 lie outside the reference.
    """
    differences = grid_differences(mask, reference)
    if not differences:
        return mask
    on_lattice = _is_on_lattice(mask, reference)
    if not on_lattice and not resample:
        raise ValueError("; ".join(differences))
    placed = sitk.Resample(
        mask,
        reference.GetSize(),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        reference.GetOrigin(),
        reference.GetSpacing(),
        reference.GetDirection(),
    )
    if on_lattice:
        held, kept = (
            np.count_nonzero(sitk.GetArrayViewFromImage(image)) for image in (mask, placed)
        )
        if lost := held - kept:
            raise ValueError(f"{lost} voxels of it lie outside the scan ({'; '.join(differences)})")
    return placed


def _is_on_lattice(mask: Grid, reference: Grid) -> bool:
    """Whether voxels of a mask lie on voxels of a reference, but for order and sense of axes."""
    if mask.GetDimension() != reference.GetDimension():
        return False
    to_reference = np.linalg.inv(_index_to_mm(reference))
    steps = to_reference @ _index_to_mm(mask)
    start = to_reference @ np.subtract(mask.GetOrigin(), reference.GetOrigin())
    whole = np.rint(steps)
    if not (np.abs(whole).sum(0) == 1).all() or not (np.abs(whole).sum(1) == 1).all():
        return False
    off = np.abs(start - np.rint(start))
    farthest = np.abs(steps - whole) @ np.subtract(mask.GetSize(), 1) + off
    return bool(farthest.max() <= LATTICE_TOLERANCE)


def _index_to_mm(grid: Grid) -> np.ndarray:
    n = grid.GetDimension()
    return np.reshape(grid.GetDirection(), (n, n)) * np.array(grid.GetSpacing())


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
    """Replace each label of an array by the table's value at that index.

    Args:
        labels: Whole numbers of at least 0, as an array (z, y, x).
        table: New values, one for each label from 0 to the largest.
    """
    # Plane by plane: numpy casts an index to 8 bytes a voxel.
    return np.stack([table[plane.astype(np.intp)] for plane in labels])
