"""A stock cascade of tiny networks with random weights: it sees axes and their directions."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from coala_kedro.anatomy import LABELS
from coala_kedro.nnunet.workspace import CONFIGURATIONS, model_folder_name

FULL_MM, LOW_MM = [2.5, 0.8, 0.8], [4.0, 1.6, 1.6]
PATCH = [16, 16, 16]
_FEATURES = 4
_ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [_FEATURES, _FEATURES],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}


def make_cascade(folder: Path, reader: str = "SimpleITKIO", **described: object) -> Path:
    """Write a model of two folds.

    Args:
        folder: Where; it is made.
        reader: nnU-Net's name of what reads scans.
        **described: Further keys of `dataset.json`.

    Returns:
        The folder.
    """
    description = {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "file_ending": ".nii.gz",
        "numTraining": 2,
    }
    for stage, configuration in CONFIGURATIONS.items():
        place = folder / model_folder_name(stage)
        place.mkdir(parents=True)
        (place / "dataset.json").write_text(json.dumps(description | described), encoding="utf-8")
        (place / "plans.json").write_text(json.dumps(_plans(reader)), encoding="utf-8")
        channels = 1 if stage == "lowres" else len(LABELS)
        for fold in (0, 1):
            (place / f"fold_{fold}").mkdir()
            checkpoint = {
                "network_weights": _random_weights(channels, seed=2 * channels + fold),
                "trainer_name": "nnUNetTrainer",
                "init_args": {"configuration": configuration},
                "inference_allowed_mirroring_axes": None,
            }
            torch.save(checkpoint, place / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def _random_weights(channels: int, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = get_network_from_plans(
        _ARCHITECTURE["network_class_name"],
        _ARCHITECTURE["arch_kwargs"],
        _ARCHITECTURE["_kw_requires_import"],
        input_channels=channels,
        output_channels=len(LABELS),
        deep_supervision=False,
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.normal_(std=0.1 if name.endswith("bias") else 1)
    return network.state_dict()


def _configuration(name: str, spacing_mm: list[float]) -> dict[str, object]:
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": f"nnUNetPlans_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": PATCH,
        "median_image_size_in_voxels": [20.0, 24.0, 24.0],
        "spacing": spacing_mm,
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


def _plans(reader: str) -> dict[str, object]:
    low = _configuration("3d_lowres", LOW_MM) | {"next_stage": "3d_cascade_fullres"}
    intensities = {"mean": 0.0, "std": 100.0, "median": 0.0, "min": -1000.0, "max": 1000.0}
    intensities |= {"percentile_00_5": -900.0, "percentile_99_5": 900.0}
    return {
        "dataset_name": "Dataset001_CRLM",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": FULL_MM,
        "original_median_shape_after_transp": [20, 24, 24],
        "image_reader_writer": reader,
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            "3d_lowres": low,
            "3d_fullres": _configuration("3d_fullres", FULL_MM),
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": intensities},
    }
