"""Steps of a model's training: the training set, its folds, ten trainings, the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from coala_kedro import tracking
from coala_kedro.cohort import N_FOLDS, scans_with_role
from coala_kedro.datasets import LazyVolume, MadeFolder
from coala_kedro.fingerprint import fingerprint
from coala_kedro.models.parameters import Compute
from coala_kedro.nnunet.model import TrainedModel, open_model
from coala_kedro.nnunet.planning import prepare
from coala_kedro.nnunet.protocol import Protocol
from coala_kedro.nnunet.records import (
    cross_validation_frame,
    training_cost_frame,
    training_curves_frame,
    training_software,
)
from coala_kedro.nnunet.training import train_fold
from coala_kedro.nnunet.training_set import Case, Fold, TrainingSet, split_by_patient
from coala_kedro.nnunet.workspace import Stage
from coala_kedro.report.card import model_card

FillFolder = Callable[[Path], Any]


def assemble_training_set(
    accepted_scans: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    label_maps: Mapping[str, LazyVolume],
    pseudo_label_maps: Mapping[str, LazyVolume] | None = None,
    pseudo_label_review: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """List the cases a model is trained on; the scans stay where they are.

    Args:
        accepted_scans: Scan table; scans of the role `manual` are taken.
        scans: CT by scan id.
        label_maps: Consensus over organs, by scan id.
        pseudo_label_maps: The teacher's, by scan id; for the student only.
        pseudo_label_review: Which of them were accepted.

    Returns:
        A `TrainingSet` as plain data.
    """
    patients = accepted_scans.set_index("scan_id")["patient_id"]
    manual = scans_with_role(accepted_scans, "manual")
    chosen = {scan_id: ("manual", label_maps[scan_id]) for scan_id in manual}
    if pseudo_label_maps is not None and pseudo_label_review is not None:
        accepted = pseudo_label_review.loc[pseudo_label_review["accepted"], "scan_id"]
        chosen |= {scan_id: ("pseudo", pseudo_label_maps[scan_id]) for scan_id in accepted}
    # Version 0.1.0 took voxels as they lay in files. A model of scans that lay alike was trained
    # in their orientation; one of scans that did not was trained on patients turned over.
    lay_alike = len({scans[scan_id].orientation for scan_id in chosen}) == 1
    cases = {
        scan_id: Case(
            patient_id=patients[scan_id],
            source=source,
            scan=Path(scans[scan_id].path),
            label_map=Path(label_map.path),
            content=(scans[scan_id].fingerprint, label_map.fingerprint),
            former_content=(scans[scan_id].former_fingerprint, label_map.former_fingerprint)
            if lay_alike
            else (None, None),
        )
        for scan_id, (source, label_map) in chosen.items()
    }
    return TrainingSet(cases=cases).model_dump(mode="json")


def split_folds(training_set: dict[str, Any], protocol: Protocol) -> list[dict[str, Any]]:
    """Split a training set into five folds by patient; every case is validated in exactly one.

    Args:
        training_set: A `TrainingSet` as plain data.
        protocol: Its seed decides the folds.

    Returns:
        Each fold's scan ids for training and for validation, see `nnunet.training_set.Fold`.
    """
    folds = split_by_patient(TrainingSet.model_validate(training_set), N_FOLDS, protocol.seed)
    return [fold.model_dump(mode="json") for fold in folds]


def plan_and_preprocess(
    training_set: dict[str, Any], protocol: Protocol, compute: Compute
) -> FillFolder:
    """Let nnU-Net plan the training and preprocess the training set.

    Args:
        training_set: A `TrainingSet` as plain data.
        protocol: How nnU-Net plans.
        compute: The machine.

    Returns:
        A recipe that fills a folder with nnU-Net's fingerprint, plans and preprocessed data.
    """
    return partial(
        prepare,
        training_set=TrainingSet.model_validate(training_set),
        planning=protocol.planning,
        compute=compute,
    )


def train_lowres(
    preprocessed: MadeFolder,
    folds: list[dict[str, Any]],
    fold: int,
    model_name: str,
    protocol: Protocol,
    compute: Compute,
) -> FillFolder:
    """Train the low-resolution stage of one fold and predict its validation scans.

    Args:
        preprocessed: Plans and preprocessed data.
        folds: As `split_folds` returns them.
        fold: 0 ... 4.
        model_name: For the training's run in MLflow.
        protocol: How it is trained.
        compute: The machine.

    Returns:
        A recipe that fills nnU-Net's folder of the fold.
    """
    return _train("lowres", preprocessed, folds, fold, [], model_name, protocol, compute)


def train_cascade(
    preprocessed: MadeFolder,
    folds: list[dict[str, Any]],
    fold: int,
    model_name: str,
    protocol: Protocol,
    compute: Compute,
    **lowres: MadeFolder,
) -> FillFolder:
    """Train the full-resolution stage of one fold.

    For every case it reads the prediction of the lowres fold that validated the case, so all
    lowres folds are its inputs.

    Args:
        preprocessed: Plans and preprocessed data.
        folds: As `split_folds` returns them.
        fold: 0 ... 4.
        model_name: For the training's run in MLflow.
        protocol: How it is trained.
        compute: The machine.
        **lowres: The first stage's folders, `fold_0` ... `fold_4`.

    Returns:
        A recipe that fills nnU-Net's folder of the fold.
    """
    earlier = [lowres[name] for name in sorted(lowres)]
    return _train("cascade", preprocessed, folds, fold, earlier, model_name, protocol, compute)


def _train(
    stage: Stage,
    preprocessed: MadeFolder,
    folds: list[dict[str, Any]],
    fold: int,
    earlier: list[MadeFolder],
    model_name: str,
    protocol: Protocol,
    compute: Compute,
) -> FillFolder:
    return partial(
        train_fold,
        prepared=preprocessed,
        split=Fold.model_validate(folds[fold]),
        fold=fold,
        stage=stage,
        earlier=earlier,
        protocol=protocol,
        compute=compute,
        monitor=tracking.monitor(model_name, stage, fold, protocol.model_dump(mode="json")),
    )


def collect_model(**trained: MadeFolder) -> tuple[TrainedModel, pd.DataFrame]:
    """Gather ten trainings into a model: a stock nnU-Net folder, and its cross-validation frame.

    Args:
        **trained: The trained folders as `<fold>_<stage>`.

    Returns:
        The model, and Dice of every structure on the validation scans of every fold and stage.
    """
    mark = fingerprint([trained[name].fingerprint for name in sorted(trained)])
    model = open_model(trained["fold_0_lowres"].path.parents[1], mark)
    return model, cross_validation_frame(model)


def describe_training(
    model: TrainedModel,
    training_set: dict[str, Any],
    cross_validation: pd.DataFrame,
    name: str,
    protocol: Protocol,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Describe what the trainings cost and how they went.

    Args:
        model: The trained model.
        training_set: A `TrainingSet` as plain data.
        cross_validation: As `collect_model` returns it.
        name: `teacher` or `student`.
        protocol: How it was trained.

    Returns:
        Cost, one row per stage and fold (`model` and the columns of `training_cost_frame`); the
        curves, one row per stage, fold and epoch; the model's card in Markdown.
    """
    cost = training_cost_frame(model)
    cost.insert(0, "model", name)
    card = model_card(
        name,
        orientation=model.orientation,
        cases=pd.DataFrame(
            case.model_dump(include={"patient_id", "source"})
            for case in TrainingSet.model_validate(training_set).cases.values()
        ),
        protocol=protocol.model_dump(mode="json"),
        software=training_software(model),
        cost=cost,
        cross_validation=cross_validation,
    )
    return cost, training_curves_frame(model), card
