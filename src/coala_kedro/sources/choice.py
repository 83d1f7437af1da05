"""Which segments or values of a file are the mask, as an entry tells them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

SEGMENT_FORMATS = ("dicom_seg", "rtstruct")
"""Of files that hold several outlines by name, and say what they were drawn on."""

Segments = str | Mapping[str, str]
"""A regular expression for the labels of the segments that are the mask, or one by reader."""
Values = int | Sequence[int] | Mapping[str, int | Sequence[int]] | None
"""The values of a label file that are the mask, or those by reader; None: it is a mask as it is."""


def readers(pattern: str, segments: Segments, values: Values) -> Collection[str]:
    """The readers whom the entry tells apart within each file; "" where the paths tell them."""
    told = next((choice for choice in (segments, values) if isinstance(choice, Mapping)), None)
    return [""] if told is None or "{reader}" in pattern else [*told]


def chosen(choice: Any, reader: str) -> Any:
    """One reader's part of what an entry tells.

    Raises:
        KeyError: It tells nothing of this reader.
    """
    return choice[reader] if isinstance(choice, Mapping) else choice


def several(values: int | Sequence[int] | None) -> Sequence[int]:
    """No value, one or several, as several."""
    if values is None:
        return []
    return values if isinstance(values, list | tuple) else [values]  # type: ignore[list-item]


def choice_complaint(
    pattern: str, format: str, segments: Segments, values: Values, whose: Sequence[str]
) -> str:
    """Say what is wrong with an entry's `segments` and `values`; empty if nothing is.

    Args:
        pattern: Of the entry.
        format: Likewise.
        segments: Likewise.
        values: Likewise.
        whose: The placeholders of the pattern that tell the reader or the organ.
    """
    nrrd = format == "volume" and pattern.endswith(("nrrd", "*"))
    if bool(segments) != (format in SEGMENT_FORMATS) and not (segments and nrrd):
        return (
            "`segments` goes with the formats 'dicom_seg' and 'rtstruct', and they with it, or "
            "with Slicer's `.seg.nrrd` files: a regular expression for the labels of the segments "
            "that are the mask, such as 'Tumor.*'. In other label files `values` tells the mask."
        )
    if values is not None and (format != "volume" or segments):
        return (
            "`values` goes with label files, the format 'volume', and without `segments`: the "
            "segments of a segmentation are chosen by their labels."
        )
    if isinstance(segments, Mapping) and whose:
        return (
            f"With `segments` for each of {', '.join(segments)} the pattern cannot have "
            f"{{{whose[0]}}} too; or give `segments` as one regular expression."
        )
    for labels in segments.values() if isinstance(segments, Mapping) else [segments]:
        try:
            re.compile(labels)
        except re.error as error:
            return f"'{labels}' is no regular expression: {error}."
    return "" if values is None else _value_complaint(values)


def _value_complaint(values: Any) -> str:
    groups = [*values.values()] if isinstance(values, Mapping) else [values]
    if groups and all(map(_are_labels, groups)):
        return ""
    return (
        "`values` must name the whole numbers from 1 up that are the lesion, such as 2, [2, 3] or "
        f"{{reader_1: 2}}, not {values!r}. Names go under `segments`."
    )


def _are_labels(values: Any) -> bool:
    listed = several(values)
    return bool(listed) and all(type(value) is int and value > 0 for value in listed)
