"""Weights with which the real TotalSegmentator runs offline: the class of the nearest mean HU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from totalsegmentator.map_to_binary import class_map, class_map_5_parts

from coala_kedro.organs.adapters import (
    CROP_3MM_MODEL,
    CROP_6MM_MODEL,
    MODEL_FOLDERS,
    ORGANS_MODEL,
)
from coala_kedro.organs.segmenter import ORGAN_IDS

BACKGROUND_HU = -120.0
_RANGE_HU = (-150.0, 400.0)  # what lies outside is clipped: air and fat are one to these models
_SCALE_HU = 25.0  # logits are half precision: means should lie 20 HU apart
_NEVER = -1e3  # -1e6 would overflow half precision
_LAST_CLASS = max(ORGAN_IDS)  # classes after the organs would only cost time
_MODELS = {
    ORGANS_MODEL: (1.5, class_map_5_parts["class_map_part_organs"]),
    CROP_3MM_MODEL: (3.0, class_map["total"]),
    CROP_6MM_MODEL: (6.0, class_map["total"]),
}
_ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [1, 1],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 1, 1], [1, 1, 1]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": None,
        "norm_op_kwargs": {},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}


def make_weights(folder: Path, mean_hu: Mapping[str, float]) -> None:
    """Write models 291, 297 and 298 into a folder of weights.

    Args:
        folder: What TOTALSEG_WEIGHTS_PATH shall name.
        mean_hu: Names of organs (classes 1 to 20 of the task `total`) and their mean HU. A voxel
            gets the class whose mean, or the background's `BACKGROUND_HU`, is nearest.
    """
    for model, (spacing_mm, classes) in _MODELS.items():
        path = folder / MODEL_FOLDERS[model]
        (path / "fold_0").mkdir(parents=True)
        labels = {"background": 0} | {classes[label]: label for label in range(1, _LAST_CLASS + 1)}
        dataset = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
        (path / "dataset.json").write_text(json.dumps(dataset))
        (path / "plans.json").write_text(json.dumps(_plans(path, spacing_mm)))
        means = {labels[name]: hu for name, hu in mean_hu.items()}
        checkpoint = {
            "network_weights": _nearest_mean(len(labels), {0: BACKGROUND_HU} | means),
            "trainer_name": path.name.split("__")[0],
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": None,
        }
        torch.save(checkpoint, path / "fold_0" / "checkpoint_final.pth")


def _nearest_mean(n_classes: int, mean_hu: Mapping[int, float]) -> dict[str, torch.Tensor]:
    """Weights that pass the scaled HU x through, and a head that scores 2 m_c x - m_c^2."""
    network = get_network_from_plans(
        _ARCHITECTURE["network_class_name"],
        _ARCHITECTURE["arch_kwargs"],
        _ARCHITECTURE["_kw_requires_import"],
        input_channels=1,
        output_channels=n_classes,
        deep_supervision=False,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.encoder.stages[0][0].convs[0].conv.weight.fill_(1)
        network.decoder.stages[0].convs[0].conv.weight[:, 1] = 1  # 0: from below, 1: skip
        head = network.decoder.seg_layers[-1]
        head.bias.fill_(_NEVER)
        # x is positive (LeakyReLU passes it) and counted from the lowest HU; the scores are those
        # of means counted from the middle, which keeps them small.
        middle = (_RANGE_HU[1] - _RANGE_HU[0]) / 2 / _SCALE_HU
        for label, hu in mean_hu.items():
            mean = (hu - _RANGE_HU[0]) / _SCALE_HU - middle
            head.weight[label] = 2 * mean
            head.bias[label] = -2 * mean * middle - mean**2
    return network.state_dict()


def _plans(path: Path, spacing_mm: float) -> dict[str, object]:
    low, high = _RANGE_HU
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [64, 64, 64],
        "median_image_size_in_voxels": [64.0, 64.0, 64.0],
        "spacing": [spacing_mm] * 3,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "architecture": _ARCHITECTURE,
        "batch_dice": False,
    }
    intensities = {"percentile_00_5": low, "percentile_99_5": high, "mean": low, "std": _SCALE_HU}
    return {
        "dataset_name": path.parent.name,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [spacing_mm] * 3,
        "original_median_shape_after_transp": [64, 64, 64],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": intensities | {"median": 50.0, "min": low, "max": high}
        },
    }
