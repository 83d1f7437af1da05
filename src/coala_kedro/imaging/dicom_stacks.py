"""Which slices of a folder are one acquisition, and which acquisition is the scan."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from coala_kedro.imaging.slice_positions import (
    SAME_POSITION_MM,
    Groups,
    count_steps,
    heights_mm,
    places,
)

if TYPE_CHECKING:
    from coala_kedro.imaging.dicom_headers import SliceHeader  # pydicom is slow

_REGULAR_MM = 0.1
"""How far gaps of one acquisition differ at most; positions are rounded."""

_GROUPED_BY = {
    "TemporalPositionIdentifier": "temporal_position",
    "AcquisitionNumber": "acquisition",
    "AcquisitionTime": "time_s",
    "ImageType": "image_type",
    "ConvolutionKernel": "kernel",
    "SliceThickness": "slice_thickness_mm",
}
"""Attributes that differ between acquisitions of one series, in the order they are tried."""

_ORDERED_BY = {"AcquisitionTime": "time_s", "InstanceNumber": "instance_number"}
"""Attributes that grow from slice to slice, and more from acquisition to acquisition."""

_FEW_SLICES = 3
"""With fewer slices in an acquisition, series are not taken apart."""


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
        """Whether a slice can belong to the chosen series.

        Args:
            header: Of the slice.
        """
        if header.modality != "CT" or header.is_localizer or header.is_secondary_capture:
            return False
        for name, meant in self.model_dump(exclude={"phase"}, exclude_none=True).items():
            value = getattr(header, name)
            if isinstance(meant, str):
                fits = re.fullmatch(meant, value) is not None
            else:
                fits = value is not None and math.isclose(meant, value, abs_tol=1e-3)
            if not fits:
                return False
        return True


@dataclass(frozen=True)
class Stack:
    """The slices of one acquisition, or of what could not be separated.

    Attributes:
        slices: In order of the files' names.
        separated_by: The DICOM attribute that separates it from others of its series; empty if it
            is alone.
    """

    slices: tuple[SliceHeader, ...]
    separated_by: str = ""

    @property
    def moment(self) -> tuple[float, ...]:
        """Grows from acquisition to acquisition; equal for those of one phase."""
        first = self.slices[0]
        times = [h.time_s for h in self.slices if h.time_s is not None]
        numbers = [h.instance_number for h in self.slices if h.instance_number is not None]
        by_number = min(numbers, default=0) if self.separated_by == "InstanceNumber" else 0
        return (
            min(times, default=0.0),
            first.temporal_position or 0,
            first.acquisition or 0,
            by_number,
        )


def choose_stacks(headers: Sequence[SliceHeader], choice: SeriesChoice | None) -> list[Stack]:
    """Sort slices by series, and the slices of a series by acquisition.

    A series is taken apart only where it is no stack of slices as a whole, and where the parts are.

    Args:
        headers: Of a folder's images.
        choice: Which is meant; without it, all are.

    Returns:
        What fits the choice, in the order of time; one stack if the choice is clear.
    """
    by_series = _grouped((h for h in headers if choice is None or choice.fits(h)), "series")
    stacks = [stack for slices in by_series for stack in _acquisitions(slices)]
    stacks.sort(key=attrgetter("moment"))
    if choice is None or choice.phase is None:
        return stacks
    meant = sorted({stack.moment for stack in stacks})[choice.phase - 1 : choice.phase]
    return [stack for stack in stacks if stack.moment in meant]


def describe_stacks(stacks: Sequence[Stack]) -> str:
    """Describe stacks by their numbers alone, for series descriptions may hold names.

    Args:
        stacks: Stacks of slices of one folder.
    """
    several_series = len({stack.slices[0].series for stack in stacks}) > 1
    moments = sorted({stack.moment for stack in stacks})
    described = []
    for stack in stacks:
        first = stack.slices[0]
        words = [f"phase {moments.index(stack.moment) + 1}"]
        if several_series:
            words.append(f"series {'without a number' if first.number is None else first.number}")
        if stack.separated_by:
            by_number = stack.separated_by == "AcquisitionNumber"
            words.append(f"by {stack.separated_by}{f' {first.acquisition}' if by_number else ''}")
        thickness = f" of {first.slice_thickness_mm:g} mm" if first.slice_thickness_mm else ""
        described.append(f"{', '.join(words)}: {len(stack.slices)} slices{thickness}")
    return "; ".join(described)


def interleave(groups: Sequence[Sequence[SliceHeader]]) -> bool:
    """Whether slices of all groups lie between those of all others: then they are acquisitions.

    Args:
        groups: Groups of slices; the parts of one acquisition lie beside each other instead.
    """
    heights = [heights_mm(group, groups[0][0]) for group in groups]
    lowest_mm, highest_mm = max(map(min, heights)), min(map(max, heights))
    return min(map(len, groups)) >= _FEW_SLICES and bool(lowest_mm < highest_mm)


def _acquisitions(slices: Sequence[SliceHeader]) -> list[Stack]:
    """Take one series apart where it is no stack as a whole, or one of stacks that interleave."""
    whole = [Stack(tuple(slices))]
    if not all(h.position_mm and h.cosines for h in slices):
        return whole
    is_regular = _is_regular(slices)
    for name, groups in itertools.chain(_by_value(slices), _by_order(slices), _by_runs(slices)):
        if len(groups) == 1 or not all(map(_is_regular, groups)):
            continue
        if interleave(groups) or not is_regular:
            return [Stack(tuple(group), name) for group in groups]
    return whole


def _by_value(slices: Sequence[SliceHeader]) -> Iterator[tuple[str, Groups]]:
    for name, attribute in _GROUPED_BY.items():
        yield name, _grouped(slices, attribute)


def _by_order(slices: Sequence[SliceHeader]) -> Iterator[tuple[str, Groups]]:
    """Cut where a place comes again, if nothing grows as much within an acquisition."""
    for name, attribute in _ORDERED_BY.items():
        value = attrgetter(attribute)
        if any(value(slice_) is None for slice_ in slices):
            continue
        ordered = sorted(slices, key=value)
        heights = np.rint(heights_mm(ordered) / SAME_POSITION_MM).tolist()
        groups: Groups = [[]]
        seen: set[float] = set()
        for slice_, place in zip(ordered, heights, strict=True):
            if place in seen:
                groups.append([])
                seen.clear()
            groups[-1].append(slice_)
            seen.add(place)
        if name == "InstanceNumber":  # It grows by 1 everywhere.
            is_cut = _have_same_places(groups)
        else:
            steps = np.diff([value(h) for h in ordered])
            cuts = np.cumsum([len(group) for group in groups])[:-1] - 1
            within = np.delete(steps, cuts)
            is_cut = steps[cuts].min(initial=np.inf) > within.max(initial=0)
        if is_cut:
            yield name, groups


def _by_runs(slices: Sequence[SliceHeader]) -> Iterator[tuple[str, Groups]]:
    """Cut where the table goes back, where every slice has its own turn and none is left out."""
    for name, attribute in _ORDERED_BY.items():
        value = attrgetter(attribute)
        if len({value(slice_) for slice_ in slices} - {None}) < len(slices):
            continue
        ordered = sorted(slices, key=value)
        ways_mm = np.diff(heights_mm(ordered))
        cuts: list[int] = []
        for n in range(1, len(ways_mm)):
            first = cuts[-1] if cuts else 0
            if n > first and ways_mm[n] * ways_mm[first] <= 0:
                cuts.append(n + 1)
        bounds = itertools.pairwise([0, *cuts, len(ordered)])
        groups = [ordered[begin:end] for begin, end in bounds]
        gaps_mm = [np.abs(np.diff(heights_mm(group))) for group in groups]
        whole = all(len(gaps) and np.ptp(gaps) <= _REGULAR_MM for gaps in gaps_mm)
        if whole and interleave(groups):
            yield name, groups


def _grouped(slices: Iterable[SliceHeader], attribute: str) -> Groups:
    groups: dict[Any, list[SliceHeader]] = {}
    for slice_ in slices:
        groups.setdefault(getattr(slice_, attribute), []).append(slice_)
    return [*groups.values()]


def _have_same_places(groups: Groups) -> bool:
    first = [h.position_mm for h in groups[0]]
    return all(
        len(group) == len(first)
        and np.allclose([h.position_mm for h in group], first, atol=SAME_POSITION_MM)
        for group in groups
    )


def _is_regular(slices: Sequence[SliceHeader]) -> bool:
    """Whether the slices, copies of an image left out, are one stack; some may be missing."""
    # Images without a UID are all kept.
    slices = [*{h.instance or str(h.path): h for h in slices}.values()]
    first = slices[0]
    alike = all(
        h.size == first.size and np.allclose(h.cosines, first.cosines, atol=1e-3) for h in slices
    )
    if len(slices) == 1 or not alike or len(places(slices)) < len(slices):
        return False
    _, off_mm = count_steps(np.diff(sorted(heights_mm(slices))))
    return off_mm <= _REGULAR_MM
