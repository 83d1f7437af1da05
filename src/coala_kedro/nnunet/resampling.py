"""nnU-Net's default resampling in a part of its time and memory.

nnU-Net (`resample_data_or_seg_to_shape`) calls skimage's `resize` for each channel and label in
double precision. Here a scan is multiplied by one small matrix an axis, and of labels and logits
only the places are interpolated where neighbours disagree. Scans agree with nnU-Net's within single
precision; label maps do wherever no two labels are tied. Axes are zyx.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from numpy.typing import NDArray
from skimage.transform import resize

from coala_kedro.nnunet.interpolation import Corners, Grid, cells_between

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
            nearest = cells_between(volume.shape[apart + 1], int(shape[apart]), nearest=True)
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
        grid = Grid(voxels.shape[1:], shape, _apart(settings, spacing, new_spacing))
        slices = torch.from_numpy(voxels[0].astype(np.int16))
        made = torch.empty(grid.shape, dtype=slices.dtype)
        for n, low, high, part in grid.walk(slices):
            made[n] = grid.resampled(low, high, part, functools.partial(_most, low, high))
        return made[None].numpy().astype(voxels.dtype)

    def label_map(
        self,
        slabs: Iterable[tuple[torch.Tensor, torch.Tensor]],
        old: Sequence[int],
        shape: Sequence[int],
        spacing: Sequence[float],
        new_spacing: Sequence[float],
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The label of the largest logit once all are resampled, and votes likewise.

        Args:
            slabs: Slices from the first to the last, some at a time: logits of shape (C, slices,
                y, x), half precision, and votes, whole numbers, of shape (slices, y, x).
            old: Shape of all slabs together.
            shape: The new one of an axis each.
            spacing: In mm.
            new_spacing: In mm.

        Returns:
            Labels and votes of the new shape.
        """
        settings = self._settings("probabilities", order=1)
        if settings is None:
            return self._by_plans(slabs, shape, spacing, new_spacing)
        grid = Grid(old, shape, _apart(settings, spacing, new_spacing))
        labels, votes = (torch.empty(grid.shape, dtype=torch.uint8) for _ in range(2))
        if tuple(old) == grid.shape:
            at = 0
            for logits, counts in slabs:
                here = slice(at, at := at + len(counts))
                labels[here], votes[here] = largest(logits), counts
            return labels.numpy(), votes.numpy()
        for n, low, high, part in grid.walk(_layers(slabs)):
            labels[n], votes[n] = (
                grid.resampled(low[k], high[k], part, functools.partial(mean, low[of], high[of]))
                for k, of, mean in ((0, 2, _largest_mean), (1, 1, _rounded_mean))
            )
        return labels.numpy(), votes.numpy()

    def _by_plans(
        self,
        slabs: Iterable[tuple[torch.Tensor, torch.Tensor]],
        shape: Sequence[int],
        spacing: Sequence[float],
        new_spacing: Sequence[float],
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Resample all slabs at once by the function that the plans name."""
        logits, votes = zip(*slabs, strict=True)
        resampled, counts = (
            torch.as_tensor(
                self._configuration.resampling_fn_probabilities(whole, shape, spacing, new_spacing)
            )
            for whole in (torch.cat(logits, 1), torch.cat(votes)[None].float())
        )
        return largest(resampled).numpy(), counts[0].round().to(torch.uint8).numpy()

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


def _layers(slabs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[Any]:
    """Labels, votes and logits of each slice."""
    for logits, votes in slabs:
        yield from zip(largest(logits), votes, logits.unbind(1), strict=True)


def _largest_mean(low: torch.Tensor, high: torch.Tensor, corners: Corners) -> torch.Tensor:
    return corners.mean(low, high).to(low.dtype).argmax(0)


def _rounded_mean(low: torch.Tensor, high: torch.Tensor, corners: Corners) -> torch.Tensor:
    return corners.mean(low, high).float().round()


def _most(low: torch.Tensor, high: torch.Tensor, corners: Corners) -> torch.Tensor:
    """The label with the largest weight; of several that of the nearest corner, or the smallest."""
    around = [*corners.around(low, high)]
    found = torch.stack([label for label, _ in around])
    weights = torch.stack([weight for _, weight in around])
    shares = torch.stack([(weights * (found == label)).sum(0) for label in found])
    tied = shares >= shares.amax(0) - _TIE
    smallest = torch.where(tied, found, torch.iinfo(found.dtype).max).amin(0)
    nearest = corners.nearest(low, high)
    return torch.where((tied & (found == nearest)).any(0), nearest, smallest)
