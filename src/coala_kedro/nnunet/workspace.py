"""nnU-Net's folders, and the environment variables that name them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

DATASET_ID = 1
DATASET_NAME = "Dataset001_CRLM"
PLANS_NAME = "nnUNetPlans"
TRAINER_NAME = "nnUNetTrainer"
FILE_ENDING = ".nii.gz"
ORIENTATION = "orientation"
"""Our key in a `dataset.json`: the orientation of the scans that a model is trained on."""

Stage = Literal["lowres", "cascade"]
CONFIGURATIONS: dict[Stage, str] = {"lowres": "3d_lowres", "cascade": "3d_cascade_fullres"}


def model_folder_name(stage: Stage) -> str:
    """Name of the stock model folder of a stage.

    Args:
        stage: `lowres` or `cascade`.
    """
    return f"{TRAINER_NAME}__{PLANS_NAME}__{CONFIGURATIONS[stage]}"


def raw_dataset(prepared: Path) -> Path:
    """nnU-Net's raw dataset in a prepared folder; it refers to the scans.

    Args:
        prepared: The prepared folder.
    """
    return prepared / "raw" / DATASET_NAME


def preprocessed_dataset(prepared: Path) -> Path:
    """nnU-Net's preprocessed dataset in a prepared folder.

    Args:
        prepared: The prepared folder.
    """
    return prepared / "preprocessed" / DATASET_NAME


@contextlib.contextmanager
def nnunet_paths(prepared: Path, results: Path) -> Iterator[None]:
    """Tell nnU-Net its folders for a while; afterwards the environment is as it was.

    Args:
        prepared: Holds `raw` and `preprocessed`.
        results: nnU-Net writes trainings to `<results>/<dataset>/…`.
    """
    paths = {
        "nnUNet_raw": prepared / "raw",
        "nnUNet_preprocessed": prepared / "preprocessed",
        "nnUNet_results": results,
    }
    before = {name: os.environ.get(name) for name in paths}
    os.environ.update({name: str(path) for name, path in paths.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
