"""Planes put onto a grid: tilted slices, pixels of a frame, polygons of a contour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
import SimpleITK as sitk

from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import LATTICE_TOLERANCE, Grid

OTHER_GRID = "other_grid"
"""The check of screening that a mask fails which does not lie on its scan's slices."""
AIR_HU = -1024
_STRAIGHT_MM = 0.01

SLICE_TOLERANCE_MM = 0.1
"""How far a plane may lie from its slice: as irregular as the slices of a series may be."""
_SLICE_TOLERANCE_VOXELS = 0.25
"""And how far at most: half-way between two slices, it is on neither."""
_SAME_SHARE = 0.9
"""Share of a polygon from which one within it is a copy: no hole leaves so thin a rim."""


def to_index(points_mm: np.ndarray, grid: Grid) -> np.ndarray:
    """Continuous indices (N, 3; xyz) of points on a grid.

    Args:
        points_mm: Points (N, 3; xyz, LPS, mm).
        grid: The grid.
    """
    return np.subtract(points_mm, grid.GetOrigin()) @ _to_index(grid).T


def is_on_slice(index: np.ndarray, spacing_mm: float) -> bool:
    """Whether continuous indices along one axis are those of slices, within rounding.

    Args:
        index: Continuous indices along the axis, of shape (N,).
        spacing_mm: Spacing along the axis.
    """
    off = np.abs(index - np.rint(index))
    limit = min(SLICE_TOLERANCE_MM / spacing_mm, _SLICE_TOLERANCE_VOXELS)
    return bool((off <= max(limit, LATTICE_TOLERANCE)).all())


def paint_plane(
    inside: np.ndarray,
    position_mm: np.ndarray,
    steps_mm: np.ndarray,
    mask_zyx: np.ndarray,
    grid: Grid,
    *,
    resample: bool = False,
) -> bool:
    """Set the voxels of a mask to 1 that a frame's pixels are.

    Args:
        inside: Pixels (row, column) of the frame.
        position_mm: Centre of the first one (xyz, LPS).
        steps_mm: From pixel to pixel along a row, and from row to row (3, 2; xyz, LPS).
        mask_zyx: On the grid; changed.
        grid: Of the scan.
        resample: Take the nearest pixel where the frame's are none of the grid's.

    Returns:
        Whether it could be done; False where the frame lies on no slice of the grid.

    Raises:
        VolumeError: Pixels that are inside lie outside the grid (code `other_grid`).
    """
    start = to_index(position_mm[None], grid)[0]
    steps = _to_index(grid) @ steps_mm
    axes = np.abs(steps).argmax(axis=0)  # of the grid, along a row and along a column
    if axes[0] == axes[1]:
        return False
    across = 3 - int(axes.sum())
    first, width = start[axes], steps[axes, [0, 1]]
    steps[axes, [0, 1]] = 0  # what is left leads off the axes
    pixels = inside.T  # column, row
    last = np.array(pixels.shape) - 1
    on_axes = (np.abs(steps) @ last).max() <= LATTICE_TOLERANCE
    if not on_axes or not is_on_slice(start[across], grid.GetSpacing()[across]):
        return False
    off = np.abs(np.abs(width) - 1) * last + np.abs(first - np.rint(first))
    if off.max() > LATTICE_TOLERANCE and not resample:
        return False
    slice_, n_inside = round(start[across]), np.count_nonzero(inside)
    if not 0 <= slice_ < grid.GetSize()[across]:
        raise VolumeError(f"{n_inside} voxels of it lie outside the scan", OTHER_GRID)
    plane = np.moveaxis(mask_zyx.T, [*axes, across], [0, 1, 2])[:, :, slice_]
    voxels, sources = [], []
    for axis in range(2):
        pixel = np.rint((np.arange(plane.shape[axis]) - first[axis]) / width[axis]).astype(int)
        voxels.append(np.flatnonzero((pixel >= 0) & (pixel < pixels.shape[axis])))
        sources.append(pixel[voxels[axis]])
    seen = pixels[np.ix_(*sources)]
    lost = n_inside - np.count_nonzero(seen)
    if lost and np.allclose(np.abs(width), 1, atol=LATTICE_TOLERANCE):
        raise VolumeError(f"{lost} voxels of it lie outside the scan", OTHER_GRID)
    plane[np.ix_(*voxels)] |= seen.astype(mask_zyx.dtype)
    return True


def fill_polygon(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Fill a polygon: a pixel is in it where its centre is, by the even-odd rule.

    Of two polygons that share an edge, a centre on that edge is in one only.

    Args:
        corners: Its corners (N, 2; column, row), in pixels; the last is joined to the first.
        shape: Rows and columns of the plane.

    Returns:
        Array (row, column) of bool.
    """
    toggles = np.zeros((shape[0], shape[1] + 1), np.uint8)
    ends = np.roll(corners, -1, axis=0)
    for (x, y), (next_x, next_y) in zip(corners, ends, strict=True):
        rows = np.arange(
            max(0, np.ceil(min(y, next_y))), min(shape[0], np.ceil(max(y, next_y))), dtype=int
        )
        if rows.size:  # An edge from x to next_x crosses these rows, going left to right at:
            crossed = x + (rows - y) * (next_x - x) / (next_y - y)
            columns = np.clip(np.ceil(crossed), 0, shape[1]).astype(int)
            toggles[rows, columns] ^= 1
    return np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)


def fill_polygons(
    polygons: list[np.ndarray], shape: tuple[int, int], *, xor: bool = False
) -> np.ndarray:
    """Fill the polygons of one plane: one that lies wholly in another is a hole in it.

    Args:
        polygons: Corners as `fill_polygon` takes them; one that is there twice counts once,
            wherever it begins, whichever way it goes and however it is rounded.
        shape: Rows and columns of the plane.
        xor: Whether what lies in two of them is outside, even if they only overlap.

    Returns:
        Array (row, column) of bool.
    """
    filled = [fill_polygon(polygon, shape) for polygon in polygons]
    plane = np.zeros(shape, bool)
    known: list[np.ndarray] = []
    for inside in sorted(filled, key=np.count_nonzero, reverse=True):
        enough = np.count_nonzero(inside)
        if any(k[inside].all() and enough >= _SAME_SHARE * np.count_nonzero(k) for k in known):
            continue
        known.append(inside)
        if xor:
            plane ^= inside
        elif plane[inside].all():
            plane &= ~inside
        else:
            plane |= inside
    return plane


def straighten(image: sitk.Image, positions_mm: Sequence[Sequence[float]]) -> sitk.Image:
    """Move slices within their planes to where they lie, by linear interpolation.

    Args:
        image: CT in HU, as if its slices lay straight above the first (xyz, LPS).
        positions_mm: Of each slice's first voxel, in the image's order.

    Returns:
        CT of the same type, directions and spacings, on a grid that holds all slices; what none
        of them covers is air. The same image if its slices do lie straight.
    """
    row, column, _ = np.reshape(image.GetDirection(), (3, 3)).T
    spacing_yx_mm = np.array(image.GetSpacing())[1::-1]
    from_first_mm = np.subtract(positions_mm, positions_mm[0])
    offsets = from_first_mm @ np.column_stack([column, row]) / spacing_yx_mm  # voxels, yx
    if np.abs(offsets * spacing_yx_mm).max() <= _STRAIGHT_MM:
        return image
    low = np.floor(offsets.min(axis=0)).astype(int)
    margin = np.ceil(offsets.max(axis=0)).astype(int) - low
    voxels = sitk.GetArrayViewFromImage(image)
    whole = voxels.dtype.kind in "iu"
    air_hu = max(AIR_HU, np.iinfo(voxels.dtype).min) if whole else AIR_HU
    straight = np.empty((len(voxels), *(voxels.shape[1:] + margin)), voxels.dtype)
    for plane, offset, moved in zip(voxels, offsets, straight, strict=True):
        wide = np.pad(plane.astype(np.float32), [(0, m) for m in margin], constant_values=air_hu)
        shifted = scipy.ndimage.shift(
            wide, offset - low, order=1, cval=air_hu, mode="grid-constant"
        )
        moved[:] = np.rint(shifted) if whole else shifted
    made = sitk.GetImageFromArray(straight)
    made.SetSpacing(image.GetSpacing())
    made.SetDirection(image.GetDirection())
    made.SetOrigin(image.TransformIndexToPhysicalPoint((int(low[1]), int(low[0]), 0)))
    return made


def _to_index(grid: Grid) -> np.ndarray:
    to_mm = np.reshape(grid.GetDirection(), (3, 3)) * np.array(grid.GetSpacing())
    return np.linalg.inv(to_mm)
