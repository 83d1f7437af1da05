"""Outlines of radiotherapy planning (RT Structure Set, PS3.3 A.19), as one mask.

No library that is kept up fills them: rt-utils (2023) rounds corners to whole pixels with OpenCV,
platipy wants pydicom below 3 and pandas below 3, dcmrtstruct2nii stopped in 2023, plastimatch is no
Python package. pydicom reads the file; filling a polygon is `planes.fill_polygon`.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import Dataset

from coala_kedro.imaging.dicom_files import open_dicom
from coala_kedro.imaging.dicom_origin import Origin
from coala_kedro.imaging.dicom_seg import chosen_segments, told_without_content
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import Grid, image_like
from coala_kedro.imaging.planes import SLICE_TOLERANCE_MM, fill_polygons, is_on_slice, to_index

_TAGS = (
    "SOPClassUID", "StructureSetROISequence", "ROIContourSequence",
    "ReferencedFrameOfReferenceSequence", "FrameOfReferenceUID",
)  # fmt: skip
"""All that is read of such a file."""

_NO_STRUCTURES = "This is no RT structure set, or it is damaged"
_XOR = "CLOSEDPLANAR_XOR"
_CLOSED = ("CLOSED_PLANAR", _XOR)
_OTHER_GRID = "other_grid"
_SPARSE, _TOO_SPARSE = 1.5, 3.5
"""Slices from plane to plane of one lesion: from the first on, what lies between is to be filled;
from the second on, it cannot be."""
_DECIMALS = 3
"""Of a plane's place, in slices: coordinates are decimal text."""


def roi_names(path: Path) -> list[str]:
    """The names of the regions of interest, in order of their numbers.

    Raises:
        VolumeError: The file is no RT structure set, or is damaged.
    """
    with told_without_content(_NO_STRUCTURES):
        return list(_names(_opened(path)).values())


def rtstruct_origin(path: Path, pattern: str = ".*") -> Origin:
    """The UIDs of what the outlines were drawn on.

    Args:
        path: The file.
        pattern: As in `read_structures`: regions of one file may lie in several frames.

    Raises:
        VolumeError: The file is no RT structure set, or is damaged, or no name matches (code
            `no_segment`).
    """
    with told_without_content(_NO_STRUCTURES):
        structures = _opened(path)
        chosen = chosen_segments(_names(structures), pattern)
        own = {
            str(roi.get("ReferencedFrameOfReferenceUID", ""))
            for roi in structures.StructureSetROISequence
            if int(roi.ROINumber) in chosen
        } - {""}
        frames = [
            frame
            for frame in structures.get("ReferencedFrameOfReferenceSequence", [])
            if not own or frame.get("FrameOfReferenceUID") in own
        ]
        series = [
            s
            for frame in frames
            for study in frame.get("RTReferencedStudySequence", [])
            for s in study.get("RTReferencedSeriesSequence", [])
        ]
        images = [i for s in series for i in s.get("ContourImageSequence", [])]
        told = {structures.get("FrameOfReferenceUID", "")}
        told |= {frame.get("FrameOfReferenceUID", "") for frame in frames}
        return Origin(
            series=frozenset(str(s.get("SeriesInstanceUID", "")) for s in series) - {""},
            frames=frozenset(own or map(str, told)) - {""},
            images=frozenset(str(i.get("ReferencedSOPInstanceUID", "")) for i in images) - {""},
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
    with told_without_content(_NO_STRUCTURES):
        structures = _opened(path)
        names = _names(structures)
    chosen = chosen_segments(names, pattern)
    mask = np.zeros(grid.GetSize()[::-1], bool)
    with told_without_content(_NO_STRUCTURES):
        for roi in structures.ROIContourSequence:
            if int(roi.ReferencedROINumber) in chosen:
                _fill(_planes(roi, grid), mask, grid, resample)
    return image_like(mask, grid)


def _opened(path: Path) -> Dataset:
    structures = open_dicom(path, _TAGS)
    if structures is None or structures.SOPClassUID != pydicom.uid.RTStructureSetStorage:
        raise ValueError("not an RT structure set")
    return structures


def _names(structures: Dataset) -> dict[int, str]:
    return {
        int(roi.ROINumber): str(roi.get("ROIName", "")).strip()
        for roi in structures.StructureSetROISequence
    }


class _Planes(NamedTuple):
    """Contours by plane: where it lies along the slices' axis (voxels), its polygons there.

    And whether they are of the kind that leaves out what lies in two of them.
    """

    axis: int
    places: np.ndarray
    polygons: list[list[np.ndarray]]
    xor: bool = False


def _planes(roi: Dataset, grid: Grid) -> _Planes:
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
    if not contours:
        return _Planes(2, np.empty(0), [])
    spread = np.max([np.ptp(points, axis=0) for points in contours], axis=0)
    axis = int(np.argmin(spread * grid.GetSpacing()))
    if spread[axis] * grid.GetSpacing()[axis] > SLICE_TOLERANCE_MM:
        raise VolumeError("Its contours lie across the scan's slices", _OTHER_GRID)
    heights = np.array([points[:, axis].mean() for points in contours])
    order = np.argsort(heights, kind="stable")
    # One plane's contours may differ by what is rounded off.
    new = np.diff(heights[order], prepend=-np.inf) * grid.GetSpacing()[axis] > SLICE_TOLERANCE_MM
    plane_of = np.cumsum(new) - 1
    in_plane = [other for other in (2, 1, 0) if other != axis][::-1]
    polygons: list[list[np.ndarray]] = [[] for _ in range(plane_of[-1] + 1)]
    for number, plane in zip(order, plane_of, strict=True):
        polygons[plane].append(contours[number][:, in_plane])
    return _Planes(axis, heights[order][new].round(_DECIMALS), polygons, _XOR in kinds)


def _fill(planes: _Planes, mask_zyx: np.ndarray, grid: Grid, resample: bool) -> None:
    """Fill one region's contours; the mask is changed."""
    if not planes.polygons:
        return
    spacing_mm, n_slices = grid.GetSpacing()[planes.axis], grid.GetSize()[planes.axis]
    # In the order slices' axis, row, column: of x, y, z the last that is left is the row.
    volume = np.moveaxis(mask_zyx.T, planes.axis, 0).swapaxes(1, 2)
    outside = (planes.places < -0.5) | (planes.places > n_slices - 0.5)
    if outside.any():
        raise VolumeError(f"{outside.sum()} of its planes lie outside the scan", _OTHER_GRID)
    filled = [fill_polygons(p, volume.shape[1:], xor=planes.xor) for p in planes.polygons]
    on_slices = is_on_slice(planes.places, spacing_mm)
    distance = _distance(planes.places, filled)
    told = f"they are {distance * spacing_mm:.4g} mm apart, the scan's slices {spacing_mm:.4g} mm"
    if not resample and not on_slices:
        raise VolumeError(f"Its contours lie between the scan's slices: {told}", _OTHER_GRID)
    if not resample and distance > _SPARSE:
        raise VolumeError(f"Its contours leave slices out: {told}", _OTHER_GRID)
    if distance > _TOO_SPARSE:
        raise VolumeError(
            f"Its contours leave slices out: {told}; what lies between them is not told, so it "
            "cannot be resampled",
            _OTHER_GRID,
        )
    reach = max(distance, 1.0) / 2
    for slice_ in range(n_slices):
        off = slice_ - planes.places
        reached = np.flatnonzero((off >= -reach) & (off < reach))  # half open: between two, one
        if reached.size:
            volume[slice_] |= filled[reached[np.abs(off[reached]).argmin()]]


def _distance(places: np.ndarray, filled: list[np.ndarray]) -> float:
    """How many slices the planes are apart; 1 where they are those of lesions of a slice each."""
    gaps = np.diff(places)
    if gaps.size == 0 or gaps.min() <= _SPARSE:
        return float(gaps.min(initial=np.inf)) if gaps.size else 1.0
    of_one = any(bool((one & next_).any()) for one, next_ in itertools.pairwise(filled))
    return float(gaps.min()) if gaps.size > 1 and of_one else 1.0
