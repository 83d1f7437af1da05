"""nnU-Net's predictor for all folds at once; imported only in a process of nnU-Net's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.utilities.helpers import dummy_context

from coala_kedro.nnunet.resampling import is_largest

_SMALL_TILE_VOXELS = 2**17
"""Of 48 x 48 x 48 and a little more; larger tiles are no faster together, and take more memory."""
_TOGETHER = 4


class Slab(NamedTuple):
    """Some slices of a prediction on the grid of the networks.

    Attributes:
        logits: Means of the folds, of shape (C, slices, y, x), half precision.
        votes: How many folds' largest logit is that of one class, of shape (slices, y, x).
    """

    logits: torch.Tensor
    votes: torch.Tensor


class FoldsPredictor(nnUNetPredictor):
    """Stock nnU-Net's sliding window, a row of tiles after another, through all folds.

    What a row has finished is handed on, so memory is needed for the tiles of a row and not for
    the logits of a scan. On a CPU small tiles go several at a time: on one thread torch convolves a
    single one in its slowest way (`slow_conv3d`), three times as slow. That changes the fifth
    decimal.
    """

    network: Any

    def slabs(
        self, data: torch.Tensor, labels: torch.Tensor | None = None, voted: int | None = None
    ) -> Iterator[Slab]:
        """Predict slab by slab, from the first slice to the last.

        Args:
            data: Of shape (C, z, y, x), as the networks take it.
            labels: Of shape (z, y, x), of the stage before, for a channel per label; or none.
            voted: The class that votes are counted for; without one they are all 0.
        """
        patch = tuple(self.configuration_manager.patch_size)
        data, kept = pad_nd_image(data, patch, "constant", {"value": 0}, True, None)
        if labels is not None:
            labels = pad_nd_image(labels, patch, "constant", {"value": 0}, False, None)
        inside = kept[-2:]
        first, end, *_ = kept[-3].indices(data.shape[1])
        at = 0
        for logits, votes in self._rows(_Input(data, labels, self._known()), voted):
            here = slice(max(first - at, 0), max(end - at, 0))
            at += len(votes)
            if logits[0, here].numel():
                yield Slab(logits[:, here, *inside], votes[here, *inside])

    def _known(self) -> list[int]:
        return [int(label) for label in self.label_manager.foreground_labels]

    def _autocast(self) -> Any:
        is_cuda = self.device.type == "cuda"
        return torch.autocast("cuda", enabled=True) if is_cuda else dummy_context()

    def _rows(
        self, given: _Input, voted: int | None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Logits and votes of the slices that no later row of tiles reaches."""
        self.network = self.network.to(self.device)
        self.network.eval()
        network = getattr(self.network, "_orig_mod", self.network)  # when compiled
        weights: Sequence[Any] = self.list_of_parameters or [None]
        places = self._internal_get_sliding_window_slicers(given.shape)
        rows = [[*row] for _, row in itertools.groupby(places, key=lambda place: place[1].start)]
        sums = [_Sum(self, given.shape) for _ in weights]
        for row, following in itertools.zip_longest(rows, rows[1:]):
            start, end = row[0][1].start, row[0][1].stop
            n_done = (following[0][1].start if following else end) - start
            total, votes = None, torch.zeros((n_done, *given.shape[1:]), dtype=torch.uint8)
            for fold, summed in zip(weights, sums, strict=True):
                if fold is not None:
                    network.load_state_dict(fold)
                summed.begin_row()
                for place, tile in self._tiles(given, row):
                    summed.add(place, tile)
                logits = summed.take(n_done)
                if voted is not None:
                    votes += is_largest(logits, voted)
                total = logits if total is None else total.add_(logits)
            assert total is not None, "a model has at least one fold"
            if len(weights) > 1:
                total /= len(weights)
            yield total, votes

    def _tiles(self, given: _Input, places: list[Any]) -> Iterator[tuple[Any, torch.Tensor]]:
        """Each tile's place in its row (zyx), and its logits."""
        patch = torch.Size(self.configuration_manager.patch_size)
        are_small = self.device.type == "cpu" and patch.numel() <= _SMALL_TILE_VOXELS
        n_batches = -(-len(places) // (_TOGETHER if are_small else 1))
        for n in range(n_batches):
            first, end = (k * len(places) // n_batches for k in (n, n + 1))
            batch = places[first:end]
            tiles = torch.stack([given.tile(place) for place in batch])
            if are_small and len(batch) == 1:
                tiles = torch.cat((tiles, tiles))
            with torch.inference_mode(), self._autocast():
                made = self._internal_maybe_mirror_and_predict(tiles.to(self.device))
            for place, tile in zip(batch, made, strict=False):
                yield (slice(None), *place[2:]), tile


class _Input(NamedTuple):
    """What the networks see: voxels, and a channel for each label of the stage before."""

    data: torch.Tensor
    labels: torch.Tensor | None
    known: list[int]

    @property
    def shape(self) -> torch.Size:
        return self.data.shape[1:]

    def tile(self, place: Any) -> torch.Tensor:
        if self.labels is None:
            return self.data[place]
        here = self.labels[place[1:]]
        channels = torch.stack([here == label for label in self.known])
        return torch.cat((self.data[place], channels.to(self.data.dtype)))


class _Sum:
    """The weighted sum of one fold's tiles over a row, in half precision as in nnU-Net.

    From row to row it keeps only the slices that the next one reaches.
    """

    def __init__(self, predictor: FoldsPredictor, shape: torch.Size) -> None:
        patch = tuple(predictor.configuration_manager.patch_size)
        n_classes = predictor.label_manager.num_segmentation_heads
        self._shape = (n_classes + 1, patch[0], *shape[1:])  # the last one holds the weights
        self._held = torch.zeros((n_classes + 1, 0, *shape[1:]), dtype=torch.half)
        self._weight: Any = torch.ones(patch, dtype=torch.half)
        if predictor.use_gaussian:
            self._weight = compute_gaussian(
                patch, sigma_scale=1 / 8, value_scaling_factor=10, device=torch.device("cpu")
            )

    def begin_row(self) -> None:
        held, self._held = self._held, torch.zeros(self._shape, dtype=torch.half)
        self._held[:, : held.shape[1]] = held

    def add(self, place: Any, tile: torch.Tensor) -> None:
        self._held[:-1][:, *place] += tile.to("cpu") * self._weight
        self._held[-1][place] += self._weight

    def take(self, n_slices: int) -> torch.Tensor:
        """The mean logits of the first slices of the row."""
        done = self._held[:-1, :n_slices] / self._held[-1, :n_slices]
        self._held = self._held[:, n_slices:].clone()
        if torch.isinf(done).any():
            raise RuntimeError("A logit is too large for half precision.")
        return done
