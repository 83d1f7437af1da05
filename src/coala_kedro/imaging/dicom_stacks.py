"""Which slices of a folder are one acquisition, and which of several is meant."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

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


class SeriesChoice(BaseModel):
    """Which of several series or acquisitions in a folder is the scan.

    Localizers, pictures of screens and other modalities are left out, and what differs from any
    attribute that is given.

    Attributes:
        number: Its SeriesNumber.
        description: A regular expression for its whole SeriesDescription.
        acquisition: Its AcquisitionNumber.
        slice_thickness_mm: Its SliceThickness.
        kernel: A regular expression for its whole ConvolutionKernel; several are joined by `/`.
        image_type: A regular expression for its whole ImageType; values are joined by `/`.
        phase: Which of the acquisitions that are left, in the order of their times; the first
            is 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int | None = None
    description: str | None = None
    acquisition: int | None = None
    slice_thickness_mm: float | None = Field(None, gt=0)
    kernel: str | None = None
    image_type: str | None = None
    phase: int | None = Field(None, ge=1)

    @field_validator("description", "kernel", "image_type")
    @classmethod
    def _is_expression(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            raise ValueError(f"'{text}' is no regular expression: {error}") from None
        return text

    @model_validator(mode="after")
    def _chooses(self) -> SeriesChoice:
        if not self.model_fields_set:
            raise ValueError(f"name at least one of {', '.join(type(self).model_fields)}")
        return self

    def fits(self, header: SliceHeader) -> bool:
        """Whether a slice can be of the series that is meant."""
        if header.modality != "CT" or header.is_localizer or header.is_secondary_capture:
            return False
        numbers = (
            (self.number, header.number),
            (self.acquisition, header.acquisition),
            (self.slice_thickness_mm, header.thickness_mm),
        )
        texts = (
            (self.description, header.description),
            (self.kernel, header.kernel),
            (self.image_type, header.image_type),
        )
        return all(
            meant is None or (is_ is not None and math.isclose(meant, is_, abs_tol=1e-3))
            for meant, is_ in numbers
        ) and all(meant is None or re.fullmatch(meant, is_) for meant, is_ in texts)


@dataclass(frozen=True)
class Stack:
    """The slices of one acquisition, or of what could not be told apart.

    Attributes:
        slices: In order of the files' names.
        told_by: The attribute that tells it from others of its series; empty if it is alone.
    """

    slices: tuple[SliceHeader, ...]
    told_by: str = ""


def choose_stacks(headers: Sequence[SliceHeader], choice: SeriesChoice | None) -> list[Stack]:
    """Sort slices by series, and the slices of a series by acquisition.

    A series is taken apart only where it is no stack of slices as a whole, and where the parts are.

    Args:
        headers: Of a folder's images.
        choice: Which is meant; without it, all are.

    Returns:
        What fits the choice, in the order of time; one stack if the choice is clear.
    """
    fitting = [h for h in headers if choice is None or choice.fits(h)]
    by_series: dict[str, list[SliceHeader]] = {}
    for header in fitting:
        by_series.setdefault(header.series, []).append(header)
    stacks = [stack for slices in by_series.values() for stack in _acquisitions(slices)]
    stacks.sort(key=_moment)
    if choice is None or choice.phase is None:
        return stacks
    moments = sorted({_moment(stack) for stack in stacks})
    meant = moments[choice.phase - 1 : choice.phase]
    return [stack for stack in stacks if _moment(stack) in meant]


def describe_stacks(stacks: Sequence[Stack]) -> str:
    """Say what the stacks are; by numbers alone, for descriptions may name somebody."""
    several = len({stack.slices[0].series for stack in stacks}) > 1
    moments = sorted({_moment(stack) for stack in stacks})
    return "; ".join(
        _described(moments.index(_moment(stack)) + 1, stack, several) for stack in stacks
    )


Same = Callable[[Path, Path], bool]


def n_copies(slices: Sequence[SliceHeader], same: Same) -> int:
    """Count slices that are there twice: the same image, or one of the same pixels.

    Args:
        slices: Of one series.
        same: Whether two files have the same pixels.
    """
    return sum(
        any(_is_copy(slice_, other, same) for other in at_place[:n])
        for at_place in _places(slices)
        for n, slice_ in enumerate(at_place)
    )


def n_at_one_place(slices: Sequence[SliceHeader]) -> int:
    """Count slices at whose place there is another before them."""
    return sum(len(at_place) - 1 for at_place in _places(slices))


def _is_copy(one: SliceHeader, other: SliceHeader, same: Same) -> bool:
    return bool(one.instance and one.instance == other.instance) or same(one.path, other.path)


def _moment(stack: Stack) -> tuple[float, ...]:
    first = stack.slices[0]
    times = [h.time_s for h in stack.slices if h.time_s is not None]
    numbers = [h.instance_number for h in stack.slices if h.instance_number is not None]
    by_number = min(numbers, default=0) if stack.told_by == "InstanceNumber" else 0
    return (
        min(times, default=0.0),
        first.temporal_position or 0,
        first.acquisition or 0,
        by_number,
    )


def _described(phase: int, stack: Stack, several_series: bool) -> str:
    first = stack.slices[0]
    words = [f"phase {phase}"]
    if several_series:
        words.append(
            "series without a number" if first.number is None else f"series {first.number}"
        )
    if stack.told_by:
        acquisition = f" {first.acquisition}" if stack.told_by == "AcquisitionNumber" else ""
        words.append(f"by {stack.told_by}{acquisition}")
    thickness = f" of {first.thickness_mm:g} mm" if first.thickness_mm else ""
    return f"{', '.join(words)}: {len(stack.slices)} slices{thickness}"


def _acquisitions(slices: Sequence[SliceHeader]) -> list[Stack]:
    whole = [Stack(tuple(slices))]
    if not all(h.position_mm and h.cosines for h in slices):
        return whole
    single = _without_copies(slices)
    if _is_regular(single):
        return whole
    for name, groups in itertools.chain(_by_value(slices), _by_order(slices)):
        if len(groups) > 1 and all(map(_is_regular, map(_without_copies, groups))):
            return [Stack(tuple(group), name) for group in groups]
    return whole


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
        places = np.rint(_heights_mm(ordered) / SAME_POSITION_MM).tolist()
        groups: list[list[SliceHeader]] = [[]]
        seen: set[float] = set()
        for slice_, place in zip(ordered, places, strict=True):
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


def _places(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Slices at one place, together; of slices in several directions, by the first one's."""
    heights_mm = _heights_mm(slices)
    order = np.argsort(heights_mm, kind="stable")
    places: list[list[SliceHeader]] = []
    last_mm = -math.inf
    for index in order:
        if heights_mm[index] - last_mm > SAME_POSITION_MM:
            places.append([])
        places[-1].append(slices[index])
        last_mm = heights_mm[index]
    return places


def _heights_mm(slices: Sequence[SliceHeader]) -> np.ndarray:
    row, column = np.reshape(slices[0].cosines, (2, 3))
    return np.array([h.position_mm for h in slices]) @ np.cross(row, column)
