"""Training of one fold and stage, in a process of its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from tqdm import tqdm

from coala_kedro.nnunet.planning import plans_of
from coala_kedro.nnunet.process import choose_device, in_own_process, logged
from coala_kedro.nnunet.settings import Compute, Protocol
from coala_kedro.nnunet.training_set import Fold
from coala_kedro.nnunet.workspace import (
    CONFIGURATIONS,
    DATASET_NAME,
    Stage,
    model_folder_name,
    nnunet_paths,
    preprocessed_dataset,
)

if TYPE_CHECKING:
    from coala_kedro.nnunet.trainer import FoldTrainer

FINAL, LATEST = "checkpoint_final.pth", "checkpoint_latest.pth"

Monitor = Callable[[], AbstractContextManager[Callable[[int, dict[str, float]], None]]]
"""Opens a report for one training: called with the epoch and its figures, as they come."""


class Prepared(Interface):
    """A prepared folder: where it lies and what made it."""

    @property
    def path(self) -> Path:
        """Absolute path."""

    @property
    def fingerprint(self) -> str:
        """Of the recipe that filled it."""


def train_fold(
    folder: Path,
    *,
    prepared: Prepared,
    split: Fold,
    fold: int,
    stage: Stage,
    earlier: Sequence[Any],
    protocol: Protocol,
    compute: Compute,
    monitor: Monitor,
) -> None:
    """Train one fold of one stage and validate it; goes on from a checkpoint where there is one.

    Args:
        folder: `<results>/Dataset001_CRLM/nnUNetTrainer__nnUNetPlans__<configuration>/fold_<k>`,
            the place stock nnU-Net expects it at.
        prepared: Plans and preprocessed data.
        split: Training and validation scans of the fold.
        fold: Its number.
        stage: `lowres` or `cascade`.
        earlier: The finished lowres folds that a cascade fold reads; their fingerprints count.
        protocol: How to train.
        compute: The machine.
        monitor: Where each epoch's figures go.
    """
    expected = (DATASET_NAME, model_folder_name(stage), f"fold_{fold}")
    if folder.parts[-3:] != expected:
        raise ValueError(
            f"{folder}: the catalog path of this fold must end in {'/'.join(expected)}."
        )
    in_own_process(
        compute,
        compute.warm,
        _train,
        folder,
        prepared.path,
        split,
        fold,
        stage,
        protocol,
        compute,
        monitor,
    )


def _train(
    folder: Path,
    prepared: Path,
    split: Fold,
    fold: int,
    stage: Stage,
    protocol: Protocol,
    compute: Compute,
    monitor: Monitor,
) -> None:
    import torch

    from coala_kedro.nnunet.trainer import EpochLogger, FoldTrainer

    with (
        nnunet_paths(prepared, results=folder.parents[2]),
        logged(folder / "console.log"),
        contextlib.ExitStack() as stack,
    ):
        trained = (folder / FINAL).is_file()
        resumes = (folder / LATEST).is_file()
        trainer = FoldTrainer(
            plans=plans_of(prepared) | {"continue_training": trained or resumes},
            configuration=CONFIGURATIONS[stage],
            fold=fold,
            dataset_json=_shareable_description(prepared),
            device=torch.device(choose_device(compute)),
        )
        trainer.configure(split, protocol)
        if trained or resumes:
            trainer.load_checkpoint(str(folder / (FINAL if trained else LATEST)))
        if not trained:
            title = f"{folder.parts[-4]} {stage} fold {fold}"
            bar = stack.enter_context(_progress(title, trainer))
            report = stack.enter_context(monitor())
            trainer.logger.loggers.append(
                EpochLogger(report, lambda epoch, _: _advance(bar, epoch))
            )
            trainer.run_training()
        trainer.perform_actual_validation(save_probabilities=False)


def _progress(title: str, trainer: FoldTrainer) -> tqdm:
    done, total = trainer.current_epoch, trainer.num_epochs
    return tqdm(desc=title, initial=done, total=total, unit="epoch", disable=None, leave=False)


def _advance(bar: tqdm, epoch: int) -> None:
    bar.update(epoch + 1 - bar.n)


def _shareable_description(prepared: Path) -> dict:
    """`dataset.json` without the scans' paths: it is kept in checkpoints and model folders."""
    description = json.loads((preprocessed_dataset(prepared) / "dataset.json").read_text())
    del description["dataset"]
    return description
