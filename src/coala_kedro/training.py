"""The modular pipeline that teacher and student both are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from coala_kedro import tracking
from coala_kedro.cohort import scans_with_role
from coala_kedro.datasets import LazyVolume, MadeFolder
from coala_kedro.fingerprint import fingerprint
from coala_kedro.nnunet.model import TrainedModel, cross_validation_frame, open_model
from coala_kedro.nnunet.planning import prepare
from coala_kedro.nnunet.records import (
    training_cost_frame,
    training_curves_frame,
    training_software,
)
from coala_kedro.nnunet.settings import Compute, Protocol
from coala_kedro.nnunet.training import train_fold
from coala_kedro.nnunet.training_set import Case, Fold, TrainingSet, split_by_patient
from coala_kedro.nnunet.workspace import Stage
from coala_kedro.report.card import model_card

N_FOLDS = 5  # Bereska et al. 2024, Methods: 5-fold cross-validation, 80:20
FOLDS = tuple(f"fold_{k}" for k in range(N_FOLDS))

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
    """Five folds by patient; every case is validated in exactly one."""
    folds = split_by_patient(TrainingSet.model_validate(training_set), N_FOLDS, protocol.seed)
    return [fold.model_dump(mode="json") for fold in folds]


def plan_and_preprocess(
    training_set: dict[str, Any], protocol: Protocol, compute: Compute
) -> FillFolder:
    """nnU-Net's fingerprint, plans and preprocessed data of the training set."""
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
    """Train the low-resolution stage of one fold and predict its validation scans."""
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

    It reads, for every case, the prediction of the lowres fold that validated the case: that is
    why all lowres folds are its inputs.
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
        trained: The trained folders as `<fold>_<stage>`.
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
    """What the trainings cost and how they went.

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


def create_training_pipeline(model: str, *, pseudo_labels: bool) -> Pipeline:
    """The pipeline of one model.

    Args:
        model: Its namespace, `teacher` or `student`.
        pseudo_labels: Whether pseudo-labelled scans are added to the manual ones.
    """
    labelled = {
        "accepted_scans": "internal.accepted_scans",
        "scans": "internal.scans",
        "label_maps": "internal.label_maps",
    }
    if pseudo_labels:
        labelled["pseudo_label_maps"] = "pseudo_label_maps"
        labelled["pseudo_label_review"] = "pseudo_label_review"
    return Pipeline(
        [_preparation(list(labelled)), *(_fold_pipeline(fold) for fold in FOLDS), _collection()],
        namespace=model,
        inputs=labelled,
        parameters={
            "params:name": f"params:names.{model}",
            "params:protocol": "params:protocol",
            "params:compute": "params:compute",
            **{f"params:folds.{fold}": f"params:folds.{fold}" for fold in FOLDS},
        },
    )


def _preparation(labelled: list[str]) -> Pipeline:
    return Pipeline(
        [
            Node(
                func=assemble_training_set,
                inputs={name: name for name in labelled},
                outputs="training_set",
                name="assemble_training_set",
            ),
            Node(
                func=split_folds,
                inputs=["training_set", "params:protocol"],
                outputs="folds",
                name="split_folds",
            ),
            Node(
                func=plan_and_preprocess,
                inputs=["training_set", "params:protocol", "params:compute"],
                outputs="preprocessed",
                name="plan_and_preprocess",
            ),
        ]
    )


def _collection() -> Pipeline:
    stages = ("lowres", "cascade")
    trained = {f"{fold}_{stage}": f"{fold}.{stage}" for fold in FOLDS for stage in stages}
    return Pipeline(
        [
            Node(
                func=collect_model,
                inputs=trained,
                outputs=["model", "cross_validation"],
                name="collect_model",
            ),
            Node(
                func=describe_training,
                inputs=[
                    *("model", "training_set", "cross_validation"),
                    *("params:name", "params:protocol"),
                ],
                outputs=["training_cost", "training_curves", "model_card"],
                name="describe_training",
            ),
        ]
    )


def _fold_pipeline(fold: str) -> Pipeline:
    shared = {"preprocessed": "preprocessed", "folds": "folds"}
    settings = {name: f"params:{name}" for name in ("fold", "protocol", "compute")}
    settings["model_name"] = "params:name"
    other_lowres = {name: f"{name}.lowres" for name in FOLDS if name != fold}
    return Pipeline(
        [
            Node(
                func=train_lowres,
                inputs=shared | settings,
                outputs="lowres",
                name="train_lowres",
                tags=["gpu", fold],
            ),
            Node(
                func=train_cascade,
                inputs=shared | settings | {fold: "lowres"} | other_lowres,
                outputs="cascade",
                name="train_cascade",
                tags=["gpu", fold],
            ),
        ],
        namespace=fold,
        inputs=set(shared) | set(other_lowres.values()),
        parameters={
            "params:fold": f"params:folds.{fold}",
            "params:name": "params:name",
            "params:protocol": "params:protocol",
            "params:compute": "params:compute",
        },
    )
