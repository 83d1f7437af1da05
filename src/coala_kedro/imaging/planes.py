"""Planar outlines put onto the slices of a scan: pixels of a frame, polygons of a contour."""

from __future__ import annotations

import numpy as np

from coala_kedro.imaging.geometry import LATTICE_TOLERANCE, Grid

SLICE_TOLERANCE_MM = 0.1
"""How far a plane may lie from its slice: as irregular as the slices of a series may be."""
_SLICE_TOLERANCE_VOXELS = 0.25
"""And how far at most: half-way between two slices, it is on neither."""
_SAME_SHARE = 0.9
"""Of a polygon, which another within it fills that is the same: no hole leaves so thin a rim."""


def to_index(points_mm: np.ndarray, grid: Grid) -> np.ndarray:
    """Continuous indices (N, 3; xyz) on a grid of points (N, 3; xyz, LPS, mm)."""
    return np.subtract(points_mm, grid.GetOrigin()) @ _to_index(grid).T


def is_on_slice(index: np.ndarray, spacing_mm: float) -> bool:
    """Whether continuous indices along one axis are those of slices, but for rounding."""
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
        ValueError: Pixels that are inside lie outside the grid.
    """
    start = to_index(position_mm[None], grid)[0]
    steps = _to_index(grid) @ steps_mm
    column_axis, row_axis = map(int, np.abs(steps).argmax(axis=0))
    if column_axis == row_axis:
        return False
    across = 3 - column_axis - row_axis
    step = steps[[column_axis, row_axis], [0, 1]]
    oblique = np.abs(steps)
    oblique[[column_axis, row_axis], [0, 1]] = 0
    last = np.array(inside.shape[::-1]) - 1
    on_axes = (oblique @ last).max() <= LATTICE_TOLERANCE
    if not on_axes or not is_on_slice(start[across], grid.GetSpacing()[across]):
        return False
    first = start[[column_axis, row_axis]]
    off = np.abs(np.abs(step) - 1) * last + np.abs(first - np.rint(first))
    if off.max() > LATTICE_TOLERANCE and not resample:
        return False
    size, slice_ = grid.GetSize(), round(start[across])
    targets, pixels = [], []
    for axis, begin, width, n in zip(
        (column_axis, row_axis), first, step, inside.shape[::-1], strict=True
    ):
        pixel = np.rint((np.arange(size[axis]) - begin) / width).astype(int)
        there = np.flatnonzero((pixel >= 0) & (pixel < n))
        targets.append(there)
        pixels.append(pixel[there])
    seen = inside[np.ix_(pixels[1], pixels[0])]
    within = 0 <= slice_ < size[across]
    lost = np.count_nonzero(inside) - np.count_nonzero(seen) * within
    if lost and (not within or np.allclose(np.abs(step), 1, atol=LATTICE_TOLERANCE)):
        raise ValueError(f"{lost} voxels of it lie outside the scan")
    plane = np.moveaxis(mask_zyx.T, (column_axis, row_axis, across), (0, 1, 2))[:, :, slice_]
    plane[np.ix_(*targets)] |= seen.T.astype(mask_zyx.dtype)
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


def _to_index(grid: Grid) -> np.ndarray:
    to_mm = np.reshape(grid.GetDirection(), (3, 3)) * np.array(grid.GetSpacing())
    return np.linalg.inv(to_mm)
