"""Which of several series or acquisitions in a folder is meant."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from coala_kedro.imaging.dicom_acquisitions import Stack, acquisitions, places

if TYPE_CHECKING:
    from coala_kedro.imaging.dicom_headers import SliceHeader  # pydicom is slow


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
    stacks = [stack for slices in by_series.values() for stack in acquisitions(slices)]
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
        for at_place in places(slices)
        for n, slice_ in enumerate(at_place)
    )


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
