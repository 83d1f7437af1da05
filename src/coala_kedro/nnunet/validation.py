"""The files of nnU-Net's final validation, resampled as predictions are: the same, sooner.

These take what nnU-Net's trainer hands to its own `export_prediction_from_logits` and
`resample_and_save`, for models of labels as the study's are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from coala_kedro.nnunet.inference import Cropped
from coala_kedro.nnunet.resampling import Resampling


def export_label_map(
    logits: torch.Tensor,
    properties: Mapping[str, Any],
    stage: ConfigurationManager,
    plans: PlansManager,
    description: Mapping[str, Any],
    path: str,
    save_probabilities: bool = False,
) -> None:
    """Write a label map on its scan's grid.

    Args:
        logits: Of shape (C, z, y, x), on the grid of the networks.
        properties: What nnU-Net's preprocessing noted of the scan.
        stage: The configuration.
        plans: Of the model.
        description: nnU-Net's `dataset.json`.
        path: Of the file, without its ending.
        save_probabilities: Not possible here.
    """
    assert not save_probabilities, "the study keeps no probabilities of a validation"
    cropped = Cropped(
        properties["shape_before_cropping"],
        properties["shape_after_cropping_and_before_resampling"],
        properties["bbox_used_for_cropping"],
        [properties["spacing"][axis] for axis in plans.transpose_forward],
    )
    label_map = _label_map(logits, stage, cropped.shape, cropped.spacing)
    plans.image_reader_writer_class().write_seg(
        cropped.put_back(plans, label_map), path + description["file_ending"], properties
    )


def export_for_next_stage(
    logits: torch.Tensor,
    shape: Sequence[int],
    path: str,
    plans: PlansManager,
    stage: ConfigurationManager,
    *_: Any,
) -> None:
    """Write a label map on the grid of the next stage's networks.

    Args:
        logits: Of shape (C, z, y, x), on the grid of this stage's networks.
        shape: Of the next stage's grid.
        path: Of the file, without its ending.
        plans: Of the model.
        stage: The configuration.
        *_: What nnU-Net's own function asks for beside these.
    """
    label_map = _label_map(logits, stage, shape, stage.spacing)
    blocks, chunks = comp_blosc2_params((1, *label_map.shape), tuple(stage.patch_size), 1)
    nnUNetDatasetBlosc2.save_seg(
        label_map,
        path,
        chunks_seg=[int(n) for n in chunks[1:]],
        blocks_seg=[int(n) for n in blocks[1:]],
    )


def _label_map(
    logits: torch.Tensor,
    stage: ConfigurationManager,
    shape: Sequence[int],
    spacing: Sequence[float],
) -> Any:
    old = logits.shape[1:]
    slabs = [(logits, torch.zeros(old, dtype=torch.uint8))]
    label_map, _ = Resampling(stage).label_map(slabs, old, shape, stage.spacing, spacing)
    return label_map
