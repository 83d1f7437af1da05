"""Outlines of radiotherapy planning (RT Structure Set, PS3.3 A.19), as one mask.

No library that is kept up fills them: rt-utils (2023) rounds corners to whole pixels with OpenCV,
platipy wants pydicom below 3 and pandas below 3, dcmrtstruct2nii stopped in 2023, plastimatch is no
Python package. pydicom reads the file; filling a polygon is `planes.fill_polygon`.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import Dataset

from coala_kedro.imaging.dicom_files import errors_without_content, open_dicom
from coala_kedro.imaging.dicom_origin import Origin, items_of, uids_of
from coala_kedro.imaging.dicom_seg import chosen_segments
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import Grid, image_like
from coala_kedro.imaging.planes import (
    OTHER_GRID,
    SLICE_TOLERANCE_MM,
    fill_polygons,
    is_on_slice,
    to_index,
)

_TAGS = (
    "SOPClassUID", "StructureSetROISequence", "ROIContourSequence",
    "ReferencedFrameOfReferenceSequence", "FrameOfReferenceUID",
)  # fmt: skip
"""All that is read of such a file."""

_NO_STRUCTURES = "This is no RT structure set, or it is damaged"
_XOR = "CLOSEDPLANAR_XOR"
_CLOSED = ("CLOSED_PLANAR", _XOR)
_SPARSE, _TOO_SPARSE = 1.5, 3.5
"""Slices from plane to plane of one lesion: from the first on, what lies between is to be filled;
from the second on, it cannot be."""
_DECIMALS = 3
"""Of a plane's place, in slices: coordinates are decimal text."""


def rtstruct_origin(path: Path, pattern: str = ".*") -> Origin:
    """The UIDs of the series and images that the outlines were drawn on.

    Args:
        path: The file.
        pattern: As in `read_structures`: regions of one file may lie in several frames.

    Raises:
        VolumeError: The file is no RT structure set, or is damaged, or no name matches (code
            `no_segment`).
    """
    with errors_without_content(_NO_STRUCTURES):
        structures, names = _opened(path)
        chosen = chosen_segments(names, pattern)
        rois = [r for r in structures.StructureSetROISequence if int(r.ROINumber) in chosen]
        own = uids_of(rois, "ReferencedFrameOfReferenceUID")
        frames = [
            frame
            for frame in items_of([structures], "ReferencedFrameOfReferenceSequence")
            if not own or frame.get("FrameOfReferenceUID") in own
        ]
        series = items_of(frames, "RTReferencedStudySequence", "RTReferencedSeriesSequence")
        images = items_of(series, "ContourImageSequence")
        return Origin(
            series=uids_of(series, "SeriesInstanceUID"),
            frames=own or uids_of([structures, *frames], "FrameOfReferenceUID"),
            images=uids_of(images, "ReferencedSOPInstanceUID"),
        )


def read_structures(path: Path, pattern: str, grid: Grid, *, resample: bool = False) -> sitk.Image:
    """Fill the contours of regions of interest on a scan's grid.

    A voxel is inside where its centre is. A contour that lies wholly in another of its region and
    slice is a hole in it.

    Args:
        path: The file.
        pattern: A regular expression; regions whose whole ROIName it matches are merged.
        grid: Of the scan.
        resample: Where contours lie between the scan's slices, or on every second or third one,
            let each slice take the nearest contours, no further away than half the contours'
            distance.

    Returns:
        uint8 mask (xyz, LPS, mm) on the grid: 1 in any of the regions.

    Raises:
        VolumeError: The file is no RT structure set, or is damaged; no name matches (code
            `no_segment`); contours are open; or they do not lie on the scan's slices (code
            `other_grid`).
    """
    with errors_without_content(_NO_STRUCTURES):
        structures, names = _opened(path)
    chosen = chosen_segments(names, pattern)
    mask = np.zeros(grid.GetSize()[::-1], bool)
    with errors_without_content(_NO_STRUCTURES):
        for roi in structures.ROIContourSequence:
            if int(roi.ReferencedROINumber) in chosen:
                _fill(roi, mask, grid, resample)
    return image_like(mask, grid)


def _opened(path: Path) -> tuple[Dataset, dict[int, str]]:
    """The structure set, and the names of its regions of interest by their numbers."""
    structures = open_dicom(path, _TAGS)
    if structures is None or structures.SOPClassUID != pydicom.uid.RTStructureSetStorage:
        raise ValueError("not an RT structure set")
    return structures, {
        int(roi.ROINumber): str(roi.get("ROIName", "")).strip()
        for roi in structures.StructureSetROISequence
    }


def _fill(roi: Dataset, mask_zyx: np.ndarray, grid: Grid, resample: bool) -> None:
    """Fill one region's contours; the mask is changed."""
    contours, is_xor = _contours(roi, grid)
    if not contours:
        return
    axis = _axis_across(contours, grid)
    spacing_mm, n_slices = grid.GetSpacing()[axis], grid.GetSize()[axis]
    planes = _filled_planes(contours, axis, grid, is_xor)
    places, filled = np.array([*planes]), [*planes.values()]
    outside = (places < -0.5) | (places > n_slices - 0.5)
    if outside.any():
        raise VolumeError(f"{outside.sum()} of its planes lie outside the scan", OTHER_GRID)
    distance = _distance(places, filled)
    apart = f"they are {distance * spacing_mm:.4g} mm apart, the scan's slices {spacing_mm:.4g} mm"
    if not resample and not is_on_slice(places, spacing_mm):
        raise VolumeError(f"Its contours lie between the scan's slices: {apart}", OTHER_GRID)
    if not resample and distance > _SPARSE:
        raise VolumeError(f"Its contours leave slices out: {apart}", OTHER_GRID)
    if distance > _TOO_SPARSE:
        raise VolumeError(
            f"Its contours leave slices out: {apart}; what lies between them is not told, so it "
            "cannot be resampled",
            OTHER_GRID,
        )
    # In the order slices' axis, row, column: of x, y, z the last that is left is the row.
    volume = np.moveaxis(mask_zyx.T, axis, 0).swapaxes(1, 2)
    reach = max(distance, 1.0) / 2
    for slice_ in range(n_slices):
        off = slice_ - places
        reached = np.flatnonzero((off >= -reach) & (off < reach))  # half open: between two, one
        if reached.size:
            volume[slice_] |= filled[reached[np.abs(off[reached]).argmin()]]


def _contours(roi: Dataset, grid: Grid) -> tuple[list[np.ndarray], bool]:
    """Closed contours (N, 3; xyz, in voxels), and whether what lies in two of them is outside."""
    contours, kinds = [], set()
    for contour in roi.get("ContourSequence", []):
        kind = contour.get("ContourGeometricType", _CLOSED[0])
        if kind == "POINT":
            continue
        if kind not in _CLOSED:
            raise VolumeError("It holds contours that are not closed")
        kinds.add(kind)
        points_mm = np.asarray(contour.ContourData, float).reshape(-1, 3)
        if not np.isfinite(points_mm).all():
            raise VolumeError("It holds contours without a place")
        contours.append(to_index(points_mm, grid))
    return contours, _XOR in kinds


def _axis_across(contours: list[np.ndarray], grid: Grid) -> int:
    """The axis of the grid, xyz, that the contours' planes lie across."""
    spread_mm = np.max([np.ptp(points, axis=0) for points in contours], axis=0) * grid.GetSpacing()
    axis = int(np.argmin(spread_mm))
    if spread_mm[axis] > SLICE_TOLERANCE_MM:
        raise VolumeError("Its contours lie across the scan's slices", OTHER_GRID)
    return axis


def _filled_planes(
    contours: list[np.ndarray], axis: int, grid: Grid, xor: bool
) -> dict[float, np.ndarray]:
    """Planes (row, column) of bool, in order of their places along the axis (voxels)."""
    column, row = (other for other in range(3) if other != axis)
    shape = grid.GetSize()[row], grid.GetSize()[column]
    heights = np.array([points[:, axis].mean() for points in contours])
    order = np.argsort(heights, kind="stable")
    # One plane's contours may differ by what is rounded off.
    new = np.diff(heights[order]) * grid.GetSpacing()[axis] > SLICE_TOLERANCE_MM
    return {
        round(float(heights[plane[0]]), _DECIMALS): fill_polygons(
            [contours[number][:, [column, row]] for number in plane], shape, xor=xor
        )
        for plane in np.split(order, np.flatnonzero(new) + 1)
    }


def _distance(places: np.ndarray, filled: list[np.ndarray]) -> float:
    """How many slices the planes are apart; 1 where they are those of lesions of a slice each."""
    gaps = np.diff(places)
    if gaps.size == 0 or gaps.min() <= _SPARSE:
        return float(gaps.min(initial=np.inf)) if gaps.size else 1.0
    of_one = any(bool((one & next_).any()) for one, next_ in itertools.pairwise(filled))
    return float(gaps.min()) if gaps.size > 1 and of_one else 1.0
