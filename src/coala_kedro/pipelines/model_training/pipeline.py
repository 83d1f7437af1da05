"""Training of a two-stage cascade in five folds: the same for teacher and student."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from coala_kedro.cohort import N_FOLDS
from coala_kedro.pipelines import fixed
from coala_kedro.pipelines.model_training.nodes import (
    assemble_training_set,
    collect_model,
    describe_training,
    plan_and_preprocess,
    split_folds,
    train_cascade,
    train_lowres,
)

FOLDS = tuple(f"fold_{k}" for k in range(N_FOLDS))
STAGES = ("lowres", "cascade")
PARAMETERS = {"params:protocol", "params:compute"}


def create_pipeline(model: str, *, pseudo_labels: bool) -> Pipeline:
    """From labelled scans to a trained model.

    Args:
        model: Its namespace, `teacher` or `student`.
        pseudo_labels: Whether pseudo-labelled scans are added to the outlined ones.
    """
    labelled = ["internal.accepted_scans", "internal.scans", "internal.label_maps"]
    if pseudo_labels:
        labelled += ["pseudo_label_maps", "pseudo_label_review"]
    preparation = [
        Node(
            func=assemble_training_set,
            inputs=labelled,
            outputs="training_set",
            name="assemble_training_set",
        ),
        Node(
            func=plan_and_preprocess,
            inputs=["training_set", "params:protocol", "params:compute"],
            outputs="preprocessed",
            name="plan_and_preprocess",
        ),
        Node(
            func=split_folds,
            inputs=["training_set", "params:protocol"],
            outputs="folds",
            name="split_folds",
        ),
    ]
    collection = [
        Node(
            func=collect_model,
            inputs={f"{fold}_{stage}": f"{fold}.{stage}" for fold in FOLDS for stage in STAGES},
            outputs=["model", "cross_validation"],
            name="collect_model",
        ),
        Node(
            func=fixed(describe_training, name=model),
            inputs=["model", "training_set", "cross_validation", "params:protocol"],
            outputs=["training_cost", "training_curves", "model_card"],
            name="describe_training",
        ),
    ]
    folds = [_fold(model, k) for k in range(N_FOLDS)]
    return Pipeline(
        [*preparation, *folds, *collection],
        namespace=model,
        inputs=set(labelled),
        parameters=PARAMETERS,
    )


def _fold(model: str, k: int) -> Pipeline:
    """Both stages of one fold; the cascade reads what the lowres stages of all folds predict."""
    inputs = {
        "preprocessed": "preprocessed",
        "folds": "folds",
        "protocol": "params:protocol",
        "compute": "params:compute",
    }
    others = {fold: f"{fold}.lowres" for fold in FOLDS if fold != FOLDS[k]}
    return Pipeline(
        [
            Node(
                func=fixed(train_lowres, fold=k, model_name=model),
                inputs=inputs,
                outputs="lowres",
                name="train_lowres",
                tags=["gpu", FOLDS[k]],
            ),
            Node(
                func=fixed(train_cascade, fold=k, model_name=model),
                inputs=inputs | others | {FOLDS[k]: "lowres"},
                outputs="cascade",
                name="train_cascade",
                tags=["gpu", FOLDS[k]],
            ),
        ],
        namespace=FOLDS[k],
        inputs={"preprocessed", "folds", *others.values()},
        parameters=PARAMETERS,
    )
