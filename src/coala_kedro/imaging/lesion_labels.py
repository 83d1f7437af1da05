"""Which voxels of a file with several labels are the lesion."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import GRID_TOLERANCE, LATTICE_TOLERANCE, image_like, labels_zyx

SEGMENT_THRESHOLD = 0.5
"""From which share of MaximumFractionalValue a fractional segment's voxel is in it, be it a
probability or an occupancy."""

MASK_CONSTANTS: dict[str, Any] = {
    "segment_threshold": SEGMENT_THRESHOLD,
    "grid_tolerance": GRID_TOLERANCE,
    "lattice_tolerance": LATTICE_TOLERANCE,
}
"""Decides the voxels of every mask that is read, besides its catalog entry."""

_NAME_KEY = re.compile(r"Segment(\d+)_Name")


class _Segment(NamedTuple):
    """One segment of a segmentation of 3D Slicer."""

    name: str  # as its author typed it: it may tell who somebody is
    layer: int  # which of a voxel's values holds it: segments that overlap lie in several layers
    value: int  # in that layer


def select_values(labels: sitk.Image, values: Collection[int]) -> sitk.Image:
    """Make a mask of some of a label file's values.

    Args:
        labels: Label file; other values than those asked for may be in it.
        values: Those that are the mask.

    Returns:
        uint8 mask on the same grid, 1 where a voxel has one of the values; empty if none has.

    Raises:
        VolumeError: A voxel has several values, or one that is no label (code `mask_values`).
    """
    if (n_values := labels.GetNumberOfComponentsPerPixel()) != 1:
        raise VolumeError(f"The file has {n_values} values a voxel", "mask_values")
    try:
        voxels = labels_zyx(labels, "The file")
    except ValueError as error:
        raise VolumeError(str(error), "mask_values") from None
    return image_like(np.isin(voxels, list(values)), labels)


def select_segments(
    segmentation: sitk.Image, header: Mapping[str, str], pattern: str
) -> sitk.Image:
    """Merge segments of a segmentation that 3D Slicer wrote (`.seg.nrrd`) into one mask.

    Args:
        segmentation: Its voxels; several values each where segments overlap.
        header: The texts of its header: `Segment<n>_Name`, `Segment<n>_LabelValue` and, where
            segments overlap, `Segment<n>_Layer` (Slicer's vtkMRMLSegmentationStorageNode; before
            Slicer 4.11 every segment has a layer and is 1 in it).
        pattern: A regular expression; segments whose whole name it matches are merged.

    Returns:
        uint8 mask on the segmentation's grid: 1 in any of the segments.

    Raises:
        VolumeError: No segment's name matches (code `no_segment`), or the header is damaged.
    """
    try:
        segments = _segments(header, segmentation.GetNumberOfComponentsPerPixel() > 1)
    except ValueError:
        raise VolumeError("The header tells a segment's layer or value by no number") from None
    values = {(s.layer, s.value) for s in segments if s.value >= 1}
    if len(values) < len(segments):
        raise VolumeError("The header does not tell each segment's own value, from 1 up")
    chosen = [s for s in segments if re.fullmatch(pattern, s.name)]
    if not chosen:
        raise VolumeError(
            f"None of its {len(segments)} segments has a name that the entry's `segments` match",
            "no_segment",
        )
    voxels = sitk.GetArrayViewFromImage(segmentation)
    layers = voxels.reshape(*segmentation.GetSize()[::-1], -1)
    inside = np.zeros(layers.shape[:-1], bool)
    for segment in chosen:
        if not 0 <= segment.layer < layers.shape[-1]:
            raise VolumeError(f"Layer {segment.layer} of a segment is not in the file")
        inside |= layers[..., segment.layer] == segment.value
    return image_like(inside, segmentation)


def _segments(header: Mapping[str, str], layered: bool) -> list[_Segment]:
    numbers = sorted(int(match[1]) for match in map(_NAME_KEY.fullmatch, header) if match)
    return [
        _Segment(
            header[f"Segment{number}_Name"],
            int(header.get(f"Segment{number}_Layer", number)) if layered else 0,
            int(header.get(f"Segment{number}_LabelValue", 1)),
        )
        for number in numbers
    ]
