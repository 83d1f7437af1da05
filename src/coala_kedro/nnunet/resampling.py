"""nnU-Net's default resampling in a part of its time and memory.

nnU-Net (`resample_data_or_seg_to_shape`) calls skimage's `resize` for each channel and label in
double precision. Here a scan is multiplied by one small matrix an axis, and of labels and logits
only the places are interpolated where neighbours disagree. Scans agree with nnU-Net's within single
precision; label maps do wherever no two labels are tied. Axes are zyx.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from numpy.typing import NDArray
from skimage.transform import resize

_DEFAULT = "resample_data_or_seg_to_shape"
_TIE = 1e-9


class Resampling:
    """The resampling of a configuration's plans, to be used in place of its functions.

    Where the plans name other functions or orders than nnU-Net's default planner does, those of the
    plans are used.
    """

    def __init__(self, configuration: ConfigurationManager) -> None:
        """Read the plans.

        Args:
            configuration: A stage's.
        """
        self._configuration = configuration

    def scan(
        self,
        voxels: NDArray[np.float32],
        shape: Sequence[int],
        spacing: Sequence[float],
        new_spacing: Sequence[float],
    ) -> NDArray[np.float32]:
        """Resample a scan by cubic splines.

        Args:
            voxels: Of shape (C, z, y, x).
            shape: The new one of an axis each.
            spacing: In mm.
            new_spacing: In mm.
        """
        settings = self._settings("data", order=3)
        if settings is None:
            return self._configuration.resampling_fn_data(voxels, shape, spacing, new_spacing)
        if voxels.shape[1:] == tuple(shape):
            return voxels
        apart = _apart(settings, spacing, new_spacing)
        volume = torch.from_numpy(np.ascontiguousarray(voxels))
        # Splines overshoot; skimage cuts that off, of each volume or slice that it resizes.
        within = [k for k in (1, 2, 3) if k - 1 != apart]
        low, high = volume.amin(within, keepdim=True), volume.amax(within, keepdim=True)
        for axis in within:
            old, new = volume.shape[axis], int(shape[axis - 1])
            if old != new:
                spline = torch.from_numpy(_spline(old, new)).to(volume.dtype)
                volume = torch.tensordot(volume, spline, dims=([axis], [1])).movedim(-1, axis)
        volume = torch.clamp(volume, low, high)
        if apart is not None:
            nearest = _cells(volume.shape[apart + 1], int(shape[apart]), nearest=True)
            volume = volume.index_select(apart + 1, nearest.low)
        return volume.contiguous().numpy()

    def labels(
        self,
        voxels: NDArray[Any],
        shape: Sequence[int],
        spacing: Sequence[float],
        new_spacing: Sequence[float],
    ) -> NDArray[Any]:
        """Resample a label map: the label that most of the surroundings have.

        Args:
            voxels: Of shape (1, z, y, x).
            shape: The new one of an axis each.
            spacing: In mm.
            new_spacing: In mm.
        """
        settings = self._settings("seg", order=1)
        if settings is None:
            return self._configuration.resampling_fn_seg(voxels, shape, spacing, new_spacing)
        if voxels.shape[1:] == tuple(shape):
            return voxels
        grid = _Grid(voxels.shape[1:], shape, _apart(settings, spacing, new_spacing))
        labels = torch.from_numpy(voxels[0].astype(np.int16))
        made = _where_mixed(labels, grid, lambda corners: _most(labels, corners))
        return made[None].numpy().astype(voxels.dtype)

    def label_map(
        self,
        logits: torch.Tensor,
        shape: Sequence[int],
        spacing: Sequence[float],
        new_spacing: Sequence[float],
    ) -> NDArray[np.uint8]:
        """The label of the largest logit once all are resampled.

        Args:
            logits: Of shape (C, z, y, x), half precision.
            shape: The new one of an axis each.
            spacing: In mm.
            new_spacing: In mm.

        Returns:
            Labels of the new shape.
        """
        settings = self._settings("probabilities", order=1)
        if settings is None:
            resampled = self._configuration.resampling_fn_probabilities(
                logits, shape, spacing, new_spacing
            )
            return largest(torch.as_tensor(resampled)).numpy()
        labels = largest(logits)
        if labels.shape == tuple(shape):
            return labels.numpy()

        def interpolate(corners: _Corners) -> torch.Tensor:
            scores = sum(logits[:, z, y, x].double() * weight for z, y, x, weight in corners.each())
            return scores.to(logits.dtype).argmax(0)

        grid = _Grid(labels.shape, shape, _apart(settings, spacing, new_spacing))
        return _where_mixed(labels, grid, interpolate).numpy()

    def counts(
        self,
        voxels: torch.Tensor,
        shape: Sequence[int],
        spacing: Sequence[float],
        new_spacing: Sequence[float],
    ) -> NDArray[np.uint8]:
        """Resample small whole numbers as nnU-Net does probabilities, and round them.

        Args:
            voxels: Of shape (z, y, x).
            shape: The new one of an axis each.
            spacing: In mm.
            new_spacing: In mm.
        """
        settings = self._settings("probabilities", order=1)
        if settings is None:
            resampled = self._configuration.resampling_fn_probabilities(
                voxels[None].float().numpy(), shape, spacing, new_spacing
            )
            return np.rint(np.asarray(resampled[0])).astype(np.uint8)
        if voxels.shape == tuple(shape):
            return voxels.numpy()

        def interpolate(corners: _Corners) -> torch.Tensor:
            numbers = sum(voxels[z, y, x].double() * weight for z, y, x, weight in corners.each())
            return numbers.float().round()

        grid = _Grid(voxels.shape, shape, _apart(settings, spacing, new_spacing))
        return _where_mixed(voxels, grid, interpolate).numpy()

    def _settings(self, role: str, order: int) -> Mapping[str, Any] | None:
        named = self._configuration.configuration
        settings: Mapping[str, Any] = named[f"resampling_fn_{role}_kwargs"]
        expected = settings.get("order") == order and settings.get("order_z", 0) == 0
        return settings if named[f"resampling_fn_{role}"] == _DEFAULT and expected else None


def largest(logits: torch.Tensor) -> torch.Tensor:
    """The first of the largest logits, as `argmax` over classes: that takes ten times as long.

    Args:
        logits: Of shape (C, ...).

    Returns:
        Classes, uint8.
    """
    best = logits[0].clone()
    classes = torch.zeros(best.shape, dtype=torch.uint8, device=logits.device)
    for k in range(1, len(logits)):
        classes.masked_fill_(logits[k] > best, k)
        torch.maximum(best, logits[k], out=best)
    return classes


def is_largest(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Where class k is the first of the largest logits.

    Args:
        logits: Of shape (C, ...).
        k: The class.
    """
    chosen = torch.ones(logits.shape[1:], dtype=torch.bool, device=logits.device)
    for other in range(len(logits)):
        if other < k:
            chosen &= logits[k] > logits[other]
        elif other > k:
            chosen &= logits[k] >= logits[other]
    return chosen


def _apart(
    settings: Mapping[str, Any], spacing: Sequence[float], new_spacing: Sequence[float]
) -> int | None:
    """The axis of thick slices, whose voxels are taken from the nearest slice; None without."""
    separate, axis = determine_do_sep_z_and_axis(
        settings.get("force_separate_z"), spacing, new_spacing
    )
    return int(axis) if separate else None


@functools.lru_cache(maxsize=16)
def _spline(old: int, new: int) -> NDArray[np.float64]:
    """What skimage makes of an axis: the matrix, of shape (new, old), that its splines are."""
    columns = resize(np.eye(old), (new, old), order=3, mode="edge", anti_aliasing=False, clip=False)
    return np.asarray(columns)


@dataclass(frozen=True)
class _Cells:
    """For each new place along an axis: the old ones before and behind it, and how far it is."""

    low: torch.Tensor
    high: torch.Tensor
    part: torch.Tensor


def _cells(old: int, new: int, *, nearest: bool) -> _Cells:
    place = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    if nearest:
        low = (place + 0.5).floor().long().clamp(max=old - 1)
        return _Cells(low, low, torch.zeros_like(place))
    low = place.floor().long().clamp(max=max(old - 2, 0))
    return _Cells(low, (low + 1).clamp(max=old - 1), place - low)


class _Grid:
    """An old grid and a new one over the same space."""

    def __init__(self, old: Sequence[int], new: Sequence[int], apart: int | None) -> None:
        self.shape = tuple(int(n) for n in new)
        self.apart = apart
        self.axes = [
            _cells(int(before), after, nearest=axis == apart)
            for axis, (before, after) in enumerate(zip(old, self.shape, strict=True))
        ]


@dataclass(frozen=True)
class _Corners:
    """Some new places of one slice, among the eight old voxels around each."""

    slices: tuple[tuple[int, float], tuple[int, float]]
    rows: _Cells
    columns: _Cells

    def each(self) -> Any:
        """Index and weight of the corners, as z, y, x, weight."""
        for z, z_weight in self.slices:
            if not z_weight:
                continue
            for y, y_weight in _both(self.rows):
                for x, x_weight in _both(self.columns):
                    yield z, y, x, z_weight * y_weight * x_weight

    def nearest(self) -> tuple[int, torch.Tensor, torch.Tensor]:
        """Index of the nearest corner."""
        (z, weight), (above, above_weight) = self.slices
        return above if above_weight >= weight else z, _near(self.rows), _near(self.columns)


def _both(cells: _Cells) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    return (cells.low, 1 - cells.part), (cells.high, cells.part)


def _near(cells: _Cells) -> torch.Tensor:
    return torch.where(cells.part >= 0.5, cells.high, cells.low)


def _where_mixed(labels: torch.Tensor, grid: _Grid, interpolate: Any) -> torch.Tensor:
    """Labels on the new grid, interpolated where the corners around a place disagree."""
    mixed = _mixed(labels, grid.apart)
    slices, rows, columns = grid.axes
    made = torch.empty(grid.shape, dtype=labels.dtype)
    for n in range(grid.shape[0]):
        low, high, part = int(slices.low[n]), int(slices.high[n]), float(slices.part[n])
        made[n] = labels[low][rows.low][:, columns.low]
        y, x = mixed[low][rows.low][:, columns.low].nonzero(as_tuple=True)
        if len(y):
            here = _Corners(
                ((low, 1 - part), (high, part)),
                _Cells(rows.low[y], rows.high[y], rows.part[y]),
                _Cells(columns.low[x], columns.high[x], columns.part[x]),
            )
            made[n][y, x] = interpolate(here).to(labels.dtype)
    return made


def _mixed(labels: torch.Tensor, apart: int | None) -> torch.Tensor:
    """Whether the voxels of a cell, which begins at each voxel, have several labels."""
    low, high = labels, labels
    for axis in range(3):
        if axis != apart and labels.shape[axis] > 1:
            last = labels.shape[axis] - 1
            behind = [torch.cat((v.narrow(axis, 1, last), v.narrow(axis, last, 1)), axis)
                      for v in (low, high)]  # fmt: skip
            low, high = torch.minimum(low, behind[0]), torch.maximum(high, behind[1])
    return low != high


def _most(labels: torch.Tensor, corners: _Corners) -> torch.Tensor:
    """The label with the largest weight; of several that of the nearest corner, or the smallest."""
    around = [(labels[z, y, x], weight) for z, y, x, weight in corners.each()]
    found = torch.stack([label for label, _ in around])
    weights = torch.stack([weight for _, weight in around])
    shares = torch.stack([(weights * (found == label)).sum(0) for label in found])
    tied = shares >= shares.amax(0) - _TIE
    smallest = torch.where(tied, found, torch.iinfo(found.dtype).max).amin(0)
    z, y, x = corners.nearest()
    nearest = labels[z, y, x]
    return torch.where((tied & (found == nearest)).any(0), nearest, smallest)
