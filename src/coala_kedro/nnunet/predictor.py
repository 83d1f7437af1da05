"""nnU-Net's predictor, quicker on a CPU; imported only in a process of nnU-Net's own."""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian

_SMALL_TILE_VOXELS = 2**17
"""Of 48 x 48 x 48 and a little more; larger tiles are no faster in pairs, and take more memory."""


class FoldsPredictor(nnUNetPredictor):
    """Sends small tiles through the network in pairs where it computes on a CPU.

    On one thread torch convolves a single small tile in its slowest way (`slow_conv3d`), four times
    as slow as two of them. The logits differ in the fifth decimal.
    """

    def _internal_predict_sliding_window_return_logits(
        self, data: torch.Tensor, slicers: list[Any], do_on_device: bool = True
    ) -> torch.Tensor:
        patch = tuple(self.configuration_manager.patch_size)
        if self.device.type != "cpu" or torch.Size(patch).numel() > _SMALL_TILE_VOXELS:
            return super()._internal_predict_sliding_window_return_logits(
                data, slicers, do_on_device
            )
        shape = data.shape[1:]
        logits = torch.zeros((self.label_manager.num_segmentation_heads, *shape), dtype=torch.half)
        n_tiles = torch.zeros(shape, dtype=torch.half)
        weight: Any = 1
        if self.use_gaussian:
            weight = compute_gaussian(
                patch, sigma_scale=1 / 8, value_scaling_factor=10, device=self.device
            )
        for first in range(0, len(slicers), 2):
            pair = [slicers[first], slicers[min(first + 1, len(slicers) - 1)]]
            with torch.inference_mode():
                made = self._internal_maybe_mirror_and_predict(
                    torch.stack([data[place] for place in pair])
                )
            for place, tile in zip(slicers[first : first + 2], made, strict=False):
                logits[place] += tile * weight
                n_tiles[place[1:]] += weight
        torch.div(logits, n_tiles, out=logits)
        if torch.isinf(logits).any():
            raise RuntimeError("A logit is too large for half precision.")
        return logits
