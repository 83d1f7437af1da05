"""DICOM segmentations (PS3.3 A.51): the segments that are asked for, as one mask."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import highdicom
import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.files import VolumeError

# What they log may show what a header holds.
for _library in ("pydicom", "highdicom"):
    logging.getLogger(_library).setLevel(logging.ERROR)

_THRESHOLD = 0.5
"""From which a fractional segment's voxel is in it."""


def segment_labels(path: Path) -> list[str]:
    """The labels of the segments, in order of their numbers.

    Raises:
        VolumeError: The file is no DICOM segmentation, or is damaged.
    """
    with _told_without_content("This is no DICOM segmentation, or it is damaged"):
        return list(_labels(highdicom.seg.segread(path)).values())


def read_segments(path: Path, pattern: str) -> sitk.Image:
    """Read segments merged into one mask, on the segmentation's own grid.

    Frames that hold nothing are left out of such files: the mask reaches from the first to the
    last that is there, see `geometry.paste_on_grid`.

    Args:
        path: The file.
        pattern: A regular expression; segments whose whole label it matches are merged.

    Returns:
        uint8 mask (xyz, LPS, mm): 1 in any of the segments.

    Raises:
        VolumeError: The file is no DICOM segmentation, or is damaged; no label matches (code
            `no_segment`); or its frames lie on no regular grid.
    """
    with _told_without_content("This is no DICOM segmentation, or it is damaged"):
        segmentation = highdicom.seg.segread(path)
        labels = _labels(segmentation)
    chosen = [number for number, label in labels.items() if re.fullmatch(pattern, label)]
    if not chosen:
        raise VolumeError(
            # Labels are free text, and at times hold names; a pattern is made of labels.
            f"none of its {len(labels)} segments has a label that the entry's `segments` match",
            "no_segment",
        )
    with _told_without_content("The frames of the segmentation are damaged or make no volume"):
        volume = segmentation.get_volume(segment_numbers=chosen)
        inside = volume.array >= _THRESHOLD if volume.array.dtype.kind == "f" else volume.array > 0
        merged: np.ndarray = np.any(inside, axis=-1)
        mask = sitk.GetImageFromArray(merged.astype(np.uint8))
        # highdicom's axes are slice, row, column; its affine's columns are steps along them.
        steps = np.asarray(volume.affine)[:3, 2::-1]
        spacing = np.linalg.norm(steps, axis=0)
        mask.SetSpacing(spacing.tolist())
        mask.SetOrigin(np.asarray(volume.affine)[:3, 3].tolist())
        mask.SetDirection((steps / spacing).ravel().tolist())
    return mask


def _labels(segmentation: highdicom.seg.Segmentation) -> dict[int, str]:
    return {
        number: str(segmentation.get_segment_description(number).segment_label)
        for number in segmentation.segment_numbers
    }


@contextmanager
def _told_without_content(message: str) -> Iterator[None]:
    """Turn errors, of whatever type wrong bytes lead to, into one that does not show the bytes."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except Exception as error:
        raise VolumeError(f"{message} ({type(error).__name__})") from None
