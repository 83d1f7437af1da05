"""Which slices of a series are one acquisition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from coala_kedro.imaging.dicom_headers import SliceHeader  # pydicom is slow

SAME_POSITION_MM = 0.01
_REGULAR_MM = 0.1
"""How far gaps of one acquisition differ at most; positions are rounded."""

_TELLING: dict[str, Callable[[SliceHeader], Any]] = {
    "TemporalPositionIdentifier": lambda h: h.temporal_position,
    "AcquisitionNumber": lambda h: h.acquisition,
    "AcquisitionTime": lambda h: h.time_s,
    "ImageType": lambda h: h.image_type,
    "ConvolutionKernel": lambda h: h.kernel,
    "SliceThickness": lambda h: h.thickness_mm,
}
"""What differs between acquisitions under one SeriesInstanceUID, in the order it is tried."""

_ORDERING: dict[str, Callable[[SliceHeader], float | None]] = {
    "AcquisitionTime": lambda h: h.time_s,
    "InstanceNumber": lambda h: h.instance_number,
}
"""What grows from slice to slice, and from one acquisition to the next by more."""

_FEW_SLICES = 3
"""Fewer of one acquisition are stacked whatever they are."""


@dataclass(frozen=True)
class Stack:
    """The slices of one acquisition, or of what could not be told apart.

    Attributes:
        slices: In order of the files' names.
        told_by: The attribute that tells it from others of its series; empty if it is alone.
    """

    slices: tuple[SliceHeader, ...]
    told_by: str = ""


def n_at_one_place(slices: Sequence[SliceHeader]) -> int:
    """Count slices at whose place there is another before them."""
    return sum(len(at_place) - 1 for at_place in places(slices))


def acquisitions(slices: Sequence[SliceHeader]) -> list[Stack]:
    """Take a series apart where it is no stack as a whole, or one of stacks that interleave.

    Args:
        slices: Of one series.

    Returns:
        One stack, or one for each acquisition.
    """
    whole = [Stack(tuple(slices))]
    if not all(h.position_mm and h.cosines for h in slices):
        return whole
    is_regular = _is_regular(_without_copies(slices))
    for name, groups in itertools.chain(_by_value(slices), _by_order(slices), _by_runs(slices)):
        if len(groups) == 1 or not all(map(_is_regular, map(_without_copies, groups))):
            continue
        if interleave(groups) or not is_regular:
            return [Stack(tuple(group), name) for group in groups]
    return whole


def interleave(groups: Sequence[Sequence[SliceHeader]]) -> bool:
    """Whether slices of all groups lie between those of all others: another time, or another look.

    Parts of one acquisition lie beside each other instead.
    """
    heights_mm = [_heights_mm(group, groups[0][0]) for group in groups]
    lowest_mm, highest_mm = max(map(min, heights_mm)), min(map(max, heights_mm))
    return min(map(len, groups)) >= _FEW_SLICES and bool(lowest_mm < highest_mm)


def _by_value(slices: Sequence[SliceHeader]) -> Iterator[tuple[str, list[list[SliceHeader]]]]:
    for name, value in _TELLING.items():
        groups: dict[Any, list[SliceHeader]] = {}
        for slice_ in slices:
            groups.setdefault(value(slice_), []).append(slice_)
        yield name, [*groups.values()]


def _by_order(slices: Sequence[SliceHeader]) -> Iterator[tuple[str, list[list[SliceHeader]]]]:
    """Cut where a place comes again, if nothing grows as much within an acquisition."""
    for name, value in _ORDERING.items():
        if any(value(slice_) is None for slice_ in slices):
            continue
        ordered = sorted(slices, key=lambda h: value(h) or 0.0)
        heights = np.rint(_heights_mm(ordered) / SAME_POSITION_MM).tolist()
        groups: list[list[SliceHeader]] = [[]]
        seen: set[float] = set()
        for slice_, place in zip(ordered, heights, strict=True):
            if place in seen:
                groups.append([])
                seen.clear()
            groups[-1].append(slice_)
            seen.add(place)
        steps = np.diff([value(h) or 0.0 for h in ordered])
        cuts = np.cumsum([len(group) for group in groups])[:-1] - 1
        within = np.delete(steps, cuts)
        # Instance numbers grow by 1 everywhere: there, the order of places must be the same.
        apart = name == "InstanceNumber" or steps[cuts].min(initial=np.inf) > within.max(initial=0)
        if apart and (name != "InstanceNumber" or _same_places(groups)):
            yield name, groups


def _by_runs(slices: Sequence[SliceHeader]) -> Iterator[tuple[str, list[list[SliceHeader]]]]:
    """Cut where the table goes back, where every slice has its own turn and none is left out."""
    for name, value in _ORDERING.items():
        if len({value(slice_) for slice_ in slices} - {None}) < len(slices):
            continue
        ordered = sorted(slices, key=lambda h: value(h) or 0.0)
        ways_mm = np.diff(_heights_mm(ordered))
        cuts: list[int] = []
        for n in range(1, len(ways_mm)):
            first = cuts[-1] if cuts else 0
            if n > first and ways_mm[n] * ways_mm[first] <= 0:
                cuts.append(n + 1)
        bounds = itertools.pairwise([0, *cuts, len(ordered)])
        groups = [ordered[begin:end] for begin, end in bounds]
        gaps_mm = [np.abs(np.diff(_heights_mm(group))) for group in groups]
        whole = all(len(gaps) and np.ptp(gaps) <= _REGULAR_MM for gaps in gaps_mm)
        if whole and interleave(groups):
            yield name, groups


def _same_places(groups: Sequence[Sequence[SliceHeader]]) -> bool:
    first = [h.position_mm for h in groups[0]]
    return all(
        len(group) == len(first)
        and np.allclose([h.position_mm for h in group], first, atol=SAME_POSITION_MM)
        for group in groups
    )


def _without_copies(slices: Sequence[SliceHeader]) -> list[SliceHeader]:
    """One of each image; images without a UID are all kept."""
    return [*{h.instance or str(h.path): h for h in slices}.values()]


def _is_regular(slices: Sequence[SliceHeader]) -> bool:
    """Whether the slices are one stack; some may be missing."""
    if len(slices) == 1:
        return False
    first = slices[0]
    alike = all(
        h.size == first.size and np.allclose(h.cosines, first.cosines, atol=1e-3) for h in slices
    )
    if not alike or n_at_one_place(slices):
        return False
    gaps_mm = np.diff(sorted(_heights_mm(slices)))
    usual_mm = float(np.median(gaps_mm))
    steps = np.maximum(np.rint(gaps_mm / usual_mm), 1)
    return bool(np.abs(gaps_mm - steps * usual_mm).max() <= _REGULAR_MM)


def places(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Slices at one place, together; of slices in several directions, by the first one's."""
    heights_mm = _heights_mm(slices)
    order = np.argsort(heights_mm, kind="stable")
    found: list[list[SliceHeader]] = []
    last_mm = -math.inf
    for index in order:
        if heights_mm[index] - last_mm > SAME_POSITION_MM:
            found.append([])
        found[-1].append(slices[index])
        last_mm = heights_mm[index]
    return found


def _heights_mm(slices: Sequence[SliceHeader], along: SliceHeader | None = None) -> np.ndarray:
    row, column = np.reshape((along or slices[0]).cosines, (2, 3))
    return np.array([h.position_mm for h in slices]) @ np.cross(row, column)
