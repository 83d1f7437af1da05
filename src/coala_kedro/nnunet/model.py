"""A trained model: a stock nnU-Net folder with a lowres and a cascade stage."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from coala_kedro.anatomy import LABELS, STRUCTURES
from coala_kedro.nnunet.checkpoints import FINAL
from coala_kedro.nnunet.workspace import CONFIGURATIONS, Stage, model_folder_name


class ModelError(ValueError):
    """A model folder cannot be used; the message says what is missing."""


@dataclass(frozen=True)
class TrainedModel:
    """A cascade that can predict.

    Attributes:
        path: Folder that holds the two stock model folders.
        folds: Folds in the ensemble.
        fingerprint: Of what trained it, or of its files.
    """

    path: Path
    folds: tuple[int, ...]
    fingerprint: str

    def stage_folder(self, stage: Stage) -> Path:
        """The stock model folder of a stage, as `nnUNetv2_predict_from_modelfolder` takes it."""
        return self.path / model_folder_name(stage)


def open_model(path: Path, mark: str | None = None) -> TrainedModel:
    """Open a model folder, ours or any stock cascade with our labels (COALA's, for one).

    Args:
        path: Folder with `nnUNetTrainer__nnUNetPlans__3d_lowres` and `…__3d_cascade_fullres`.
        mark: Fingerprint of what trained it; without one its plans and checkpoints are read to
            tell it from another.

    Raises:
        ModelError: A stage, fold or file is missing, or the labels are not the label map's.
    """
    folds = {stage: _folds(path / model_folder_name(stage)) for stage in CONFIGURATIONS}
    if folds["lowres"] != folds["cascade"]:
        raise ModelError(
            f"The model {path} has folds {folds['lowres']} of lowres and {folds['cascade']} of "
            "cascade: finish the training of those that are missing."
        )
    for stage in CONFIGURATIONS:
        _check_labels(path / model_folder_name(stage) / "dataset.json")
    path = path.resolve()
    return TrainedModel(path, folds["lowres"], mark or _digest(path))


def _folds(folder: Path) -> tuple[int, ...]:
    found = sorted(int(file.parent.name[5:]) for file in folder.glob(f"fold_[0-9]*/{FINAL}"))
    described = all((folder / name).is_file() for name in ("plans.json", "dataset.json"))
    if not found or not described:
        raise ModelError(
            f"There is no trained model in {folder}: it needs plans.json, dataset.json and "
            f"fold_0/{FINAL} … as nnU-Net leaves them."
        )
    return tuple(found)


def _check_labels(file: Path) -> None:
    labels = {name: int(value) for name, value in json.loads(file.read_text())["labels"].items()}
    if sorted(labels.values()) != sorted(LABELS.values()):
        raise ModelError(f"{file} has the labels {labels}; a label map of this study has {LABELS}.")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for stage in CONFIGURATIONS:
        folder = path / model_folder_name(stage)
        for file in [folder / "plans.json", *sorted(folder.glob(f"fold_*/{FINAL}"))]:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]


def cross_validation_frame(model: TrainedModel) -> pd.DataFrame:
    """What nnU-Net measured on the validation scans.

    Returns:
        One row per stage, fold, scan and structure: `stage, fold, scan_id, structure, dice`; NaN
        where neither the label map nor the prediction has the structure.
    """
    names = {str(s.id): s.name for s in STRUCTURES}
    rows = [
        {
            "stage": stage,
            "fold": fold,
            "scan_id": Path(case["prediction_file"]).name.split(".")[0],
            "structure": names[label],
            "dice": figures["Dice"],
        }
        for stage in CONFIGURATIONS
        for fold in model.folds
        for case in _validation(model.stage_folder(stage) / f"fold_{fold}")
        for label, figures in case["metrics"].items()
    ]
    return pd.DataFrame(rows)


def _validation(fold_folder: Path) -> list[dict]:
    summary = fold_folder / "validation" / "summary.json"
    return json.loads(summary.read_text())["metric_per_case"]
