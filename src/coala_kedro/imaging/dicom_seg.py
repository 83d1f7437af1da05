"""DICOM segmentations (PS3.3 A.51): the segments that are asked for, as one mask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import Dataset

from coala_kedro.imaging.dicom_files import errors_without_content
from coala_kedro.imaging.dicom_origin import Origin, items_of, uids_of
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import Grid, grid_differences, image_like, paste_on_grid
from coala_kedro.imaging.lesion_labels import SEGMENT_THRESHOLD
from coala_kedro.imaging.planes import OTHER_GRID, paint_plane
from coala_kedro.imaging.untrusted import check_deflated

_NO_SEGMENTATION = "This is no DICOM segmentation, or it is damaged"
_NO_VOLUME = "The frames of the segmentation are damaged or make no volume"
_MAX_GAP = 1.5
"""Between frames, in thicknesses of one."""


def seg_origin(path: Path) -> Origin:
    """The UIDs of the series and images that a segmentation was drawn on.

    Args:
        path: A DICOM segmentation.

    Raises:
        VolumeError: The file is no DICOM segmentation, or is damaged.
    """
    with errors_without_content(_NO_SEGMENTATION):
        seg = _opened(path)
        series = items_of([seg], "ReferencedSeriesSequence")
        images = items_of(series, "ReferencedInstanceSequence")
        return Origin(
            series=uids_of(series, "SeriesInstanceUID"),
            frames=uids_of([seg], "FrameOfReferenceUID"),
            images=uids_of(images, "ReferencedSOPInstanceUID"),
        )


def read_segments(
    path: Path, pattern: str, grid: Grid | None = None, *, resample: bool = False
) -> sitk.Image:
    """Read segments merged into one mask.

    Every frame goes to the slice of the grid where its position says that it lies, whichever
    frames were left out, in whatever order they come and however many segments overlap.

    Args:
        path: The file.
        pattern: A regular expression; segments whose whole label it matches are merged.
        grid: Of the scan. Without one the mask is on the segmentation's own grid, from the first
            frame to the last.
        resample: Take the nearest voxel where the frames' pixels are none of the grid's.

    Returns:
        uint8 mask (xyz, LPS, mm): 1 in any of the segments.

    Raises:
        VolumeError: The file is no DICOM segmentation, or is damaged; no label matches (code
            `no_segment`); its frames lie on no regular grid, or not on the one that is given
            (code `other_grid`).
    """
    with errors_without_content(_NO_SEGMENTATION):
        seg = _opened(path)
        labels = {
            number: str(seg.get_segment_description(number).segment_label)
            for number in seg.segment_numbers
        }
    chosen = chosen_segments(labels, pattern)
    if grid is None:
        return _on_own_grid(seg, chosen)
    with errors_without_content(_NO_VOLUME):
        frames = _frames(seg, chosen)
        if mask := _on_slices(seg, frames, chosen, grid, resample):
            return mask
    try:
        mask = _on_own_grid(seg, chosen)
    except VolumeError:
        raise VolumeError("Its frames lie on none of the scan's slices", OTHER_GRID) from None
    if not resample:
        raise VolumeError("; ".join(grid_differences(mask, grid)), OTHER_GRID)
    _check_resampled(mask, frames)
    return paste_on_grid(mask, grid, resample=True)


def chosen_segments(labels: dict[int, str], pattern: str) -> list[int]:
    """The numbers of the segments whose whole label matches a pattern.

    Args:
        labels: Labels of the segments by number.
        pattern: Regular expression.

    Raises:
        VolumeError: No label matches (code `no_segment`).
    """
    chosen = [number for number, label in labels.items() if re.fullmatch(pattern, label)]
    if not chosen:
        raise VolumeError(
            # Labels are free text, and at times hold names; a pattern is made of labels.
            f"none of its {len(labels)} segments has a label that the entry's `segments` match",
            "no_segment",
        )
    return chosen


def _opened(path: Path) -> highdicom.seg.Segmentation:
    # Frames are decoded as they are asked for: a file may hold many other segments.
    check_deflated(path)
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, force=True)  # with or without preamble
    return highdicom.seg.Segmentation.from_dataset(dataset, copy=False)


class _Frame(NamedTuple):
    """One frame: its number from 1, its segment (0 in a label map), and where it lies (LPS)."""

    number: int
    segment: int
    position_mm: np.ndarray
    steps_mm: np.ndarray  # (3, 2): from pixel to pixel along a row, from row to row
    thickness_mm: float


def _frames(seg: highdicom.seg.Segmentation, chosen: list[int]) -> list[_Frame]:
    """The frames of the chosen segments."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    frames = []
    for number, own in enumerate(seg.PerFrameFunctionalGroupsSequence, start=1):
        segment = 0
        if seg.SegmentationType != "LABELMAP":
            identified = _group(own, shared, "SegmentIdentificationSequence")
            segment = int(identified.ReferencedSegmentNumber)
            if segment not in chosen:
                continue
        measures = _group(own, shared, "PixelMeasuresSequence")
        cosines = _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient
        position = _group(own, shared, "PlanePositionSequence").ImagePositionPatient
        row_spacing_mm, column_spacing_mm = map(float, measures.PixelSpacing)
        axes = np.reshape(np.asarray(cosines, float), (2, 3)).T
        frames.append(
            _Frame(
                number,
                segment,
                np.asarray(position, float),
                axes * [column_spacing_mm, row_spacing_mm],
                float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0),
            )
        )
    return frames


def _group(own: Dataset, shared: Dataset, keyword: str) -> Any:
    return (own[keyword] if keyword in own else shared[keyword]).value[0]


def _inside(seg: highdicom.seg.Segmentation, frame: _Frame, chosen: list[int]) -> np.ndarray:
    """The pixels (row, column) of a frame that are in its segment, or in any chosen one."""
    stored = seg.get_stored_frame(frame.number)
    if seg.SegmentationType == "LABELMAP":
        return np.isin(stored, chosen)
    highest = int(seg.MaximumFractionalValue) if seg.SegmentationType == "FRACTIONAL" else 1
    return np.asarray(stored >= SEGMENT_THRESHOLD * highest)


def _on_slices(
    seg: highdicom.seg.Segmentation,
    frames: list[_Frame],
    chosen: list[int],
    grid: Grid,
    resample: bool,
) -> sitk.Image | None:
    """Put every frame onto its slice; None if one with something in it lies on none."""
    mask = np.zeros(grid.GetSize()[::-1], np.uint8)
    seen: dict[tuple[float, ...], int] = {}
    for frame in frames:
        inside = _inside(seg, frame, chosen)
        place = (frame.segment, *np.round(frame.position_mm, 3))
        content = hash(inside.tobytes())
        if seen.setdefault(place, content) != content:
            raise VolumeError("Two frames of one segment lie at one place and differ")
        where = frame.position_mm, frame.steps_mm
        if inside.any() and not paint_plane(inside, *where, mask, grid, resample=resample):
            return None
    return image_like(mask, grid)


def _check_resampled(mask: sitk.Image, frames: list[_Frame]) -> None:
    """Refuse frames with gaps: taken for thick slices, the volume would grow by the gaps."""
    gap_mm, thickness_mm = mask.GetSpacing()[2], max(f.thickness_mm for f in frames)
    if len({tuple(f.position_mm) for f in frames}) > 1 and gap_mm > _MAX_GAP * thickness_mm:
        raise VolumeError(
            f"Its frames are {gap_mm:.4g} mm apart and {thickness_mm:.4g} mm thick: what lies "
            "between them is not told, so it cannot be resampled",
            OTHER_GRID,
        )


def _on_own_grid(seg: highdicom.seg.Segmentation, chosen: list[int]) -> sitk.Image:
    with errors_without_content(_NO_VOLUME):
        volume = seg.get_volume(segment_numbers=chosen)
        merged = np.any(volume.array >= SEGMENT_THRESHOLD, axis=-1).astype(np.uint8)
        # highdicom's axes are slice, row, column.
        return volume.with_array(merged).permute_spatial_axes([2, 1, 0]).to_simpleitk()
