"""New places among old voxels, slice by slice: what linear interpolation needs. Axes are zyx."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Cells:
    """For each new place along an axis: the old ones before and behind it, and how far it is."""

    low: torch.Tensor
    high: torch.Tensor
    part: torch.Tensor

    def at(self, places: torch.Tensor) -> Cells:
        """Those of some new places.

        Args:
            places: Their numbers.
        """
        return Cells(self.low[places], self.high[places], self.part[places])


def cells_between(old: int, new: int, *, nearest: bool) -> Cells:
    """Where the centres of new voxels lie along an axis; beyond the first and last they are these.

    Args:
        old: Number of old voxels.
        new: Number of new ones, over the same length.
        nearest: Take the nearest old one alone.
    """
    place = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    if nearest:
        low = (place + 0.5).floor().long().clamp(max=old - 1)
        return Cells(low, low, torch.zeros_like(place))
    low = place.floor().long().clamp(max=max(old - 2, 0))
    return Cells(low, (low + 1).clamp(max=old - 1), place - low)


class Grid:
    """An old grid and a new one over the same space."""

    def __init__(self, old: Sequence[int], new: Sequence[int], apart: int | None) -> None:
        """Lay one over the other.

        Args:
            old: Shape of the old grid.
            new: Shape of the new one.
            apart: The axis along which the nearest slice is taken, if there is one.
        """
        self.shape = tuple(int(n) for n in new)
        self._apart = apart
        self._slices, self._rows, self._columns = (
            cells_between(int(before), after, nearest=axis == apart)
            for axis, (before, after) in enumerate(zip(old, self.shape, strict=True))
        )

    def walk(self, slices: Iterable[Any]) -> Iterator[tuple[int, Any, Any, float]]:
        """Each new slice with the old ones before and behind it, and how far it is.

        Args:
            slices: The old ones, from the first on; two are held at a time.
        """
        ahead = enumerate(slices)
        held: dict[int, Any] = {}
        for n in range(self.shape[0]):
            low, high = int(self._slices.low[n]), int(self._slices.high[n])
            while high not in held:
                place, old = next(ahead)
                held[place] = old
                held.pop(place - 2, None)
            yield n, held[low], held[high], float(self._slices.part[n])

    def resampled(
        self,
        low: torch.Tensor,
        high: torch.Tensor,
        part: float,
        interpolate: Callable[[Corners], torch.Tensor],
    ) -> torch.Tensor:
        """A new slice, interpolated where the old voxels around a place disagree.

        Args:
            low: The old slice before it, of shape (y, x).
            high: That behind it.
            part: How far it is from one to the other.
            interpolate: Makes the values of some places.
        """
        rows, columns = self._rows, self._columns
        made = low[rows.low][:, columns.low]
        y, x = self._mixed(low, high)[rows.low][:, columns.low].nonzero(as_tuple=True)
        if len(y):
            corners = Corners(part, rows.at(y), columns.at(x))
            made[y, x] = interpolate(corners).to(made.dtype)
        return made

    def _mixed(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """Whether the voxels of a cell, which begins at each voxel, have several values."""
        lowest, highest = torch.minimum(low, high), torch.maximum(low, high)
        for axis in range(2):
            if axis + 1 != self._apart and low.shape[axis] > 1:
                last = low.shape[axis] - 1
                behind = [torch.cat((v.narrow(axis, 1, last), v.narrow(axis, last, 1)), axis)
                          for v in (lowest, highest)]  # fmt: skip
                lowest, highest = (
                    torch.minimum(lowest, behind[0]),
                    torch.maximum(highest, behind[1]),
                )
        return lowest != highest


@dataclass(frozen=True)
class Corners:
    """Some new places of one slice, among the eight old voxels around each."""

    part: float
    rows: Cells
    columns: Cells

    def around(self, low: torch.Tensor, high: torch.Tensor) -> Iterator[Any]:
        """The values of the old voxels around, corner by corner, and their weights.

        Args:
            low: The old slice before, of shape (..., y, x).
            high: That behind.
        """
        for values, weight in ((low, 1 - self.part), (high, self.part)):
            if not weight:
                continue
            for y, y_weight in _both(self.rows):
                for x, x_weight in _both(self.columns):
                    yield values[..., y, x], weight * y_weight * x_weight

    def mean(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """The weighted mean of the old voxels around, in double precision.

        Args:
            low: As of `around`.
            high: As of `around`.
        """
        total: Any = sum(values.double() * weight for values, weight in self.around(low, high))
        return total

    def nearest(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """The value of the nearest old voxel.

        Args:
            low: As of `around`.
            high: As of `around`.
        """
        return (high if self.part >= 0.5 else low)[_near(self.rows), _near(self.columns)]


def _both(cells: Cells) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    return (cells.low, 1 - cells.part), (cells.high, cells.part)


def _near(cells: Cells) -> torch.Tensor:
    return torch.where(cells.part >= 0.5, cells.high, cells.low)
