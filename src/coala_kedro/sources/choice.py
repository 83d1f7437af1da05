"""Which segments or values of a file are the mask, as a catalog entry says."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

SEGMENT_FORMATS = ("dicom_seg", "rtstruct")
"""Formats with several outlines by name and references to the scan."""

Segments = str | Mapping[str, str]
"""A regular expression for the labels of the segments that are the mask, or one by reader."""
Values = int | Sequence[int] | Mapping[str, int | Sequence[int]] | None
"""The values of a label file that are the mask, or those by reader; None: it is a mask as it is."""


class SourceError(ValueError):
    """A hospital's folder is not as the entry describes it, or the entry cannot be right."""


def readers(pattern: str, segments: Segments, values: Values) -> Collection[str]:
    """The readers whom `segments` or `values` give separately for each file; otherwise only "".

    Args:
        pattern: Of the entry; where it has {reader}, a file belongs to one reader.
        segments: Of the entry.
        values: Of the entry.
    """
    by_reader = next((choice for choice in (segments, values) if isinstance(choice, Mapping)), None)
    return [""] if by_reader is None or "{reader}" in pattern else [*by_reader]


def chosen(choice: Any, reader: str) -> Any:
    """One reader's part of an entry's `segments` or `values`.

    Args:
        choice: The entry's `segments` or `values`.
        reader: Name of the reader.

    Raises:
        SourceError: They have none for this reader.
    """
    if isinstance(choice, Mapping) and reader not in choice:
        raise SourceError(
            f"The entry's `values` tell nothing of {reader}, but there are masks of this reader: "
            "tell those of each reader, or narrow the pattern."
        )
    return choice[reader] if isinstance(choice, Mapping) else choice


def several(values: int | Sequence[int] | None) -> Sequence[int]:
    """No value, one value or several values as a sequence.

    Args:
        values: An entry's `values` for one reader.
    """
    if values is None:
        return []
    return values if isinstance(values, list | tuple) else [values]  # type: ignore[list-item]


def check_choice(pattern: str, format: str, segments: Segments, values: Values) -> None:
    """Check an entry's `segments` and `values`.

    Args:
        pattern: The entry's pattern.
        format: The entry's format.
        segments: The entry's segments, empty if it has none.
        values: The entry's values.

    Raises:
        SourceError: They are missing or misplaced, or no regular expressions or labels.
    """
    nrrd = format == "volume" and pattern.endswith(("nrrd", "*"))
    if bool(segments) != (format in SEGMENT_FORMATS) and not (segments and nrrd):
        raise SourceError(
            "`segments` goes with the formats 'dicom_seg' and 'rtstruct', and they with it, or "
            "with Slicer's `.seg.nrrd` files: a regular expression for the labels of the segments "
            "that are the mask, such as 'Tumor.*'. In other label files `values` tells the mask."
        )
    if values is not None and (format != "volume" or segments):
        raise SourceError(
            "`values` goes with label files, the format 'volume', and without `segments`: the "
            "segments of a segmentation are chosen by their labels."
        )
    for labels in segments.values() if isinstance(segments, Mapping) else [segments]:
        try:
            re.compile(labels)
        except re.error as error:
            raise SourceError(f"'{labels}' is no regular expression: {error}.") from None
    groups = [*values.values()] if isinstance(values, Mapping) else [values]
    listed = [several(group) or [0] for group in groups] or [[0]]
    are_labels = all(type(value) is int and value > 0 for group in listed for value in group)
    if values is not None and not are_labels:
        raise SourceError(
            "`values` must name the whole numbers from 1 up that are the lesion, such as 2, "
            f"[2, 3] or {{reader_1: 2}}, not {values!r}. Names go under `segments`."
        )
