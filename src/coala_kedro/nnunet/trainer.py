"""nnU-Net's trainer with our settings; imported only in a process of nnU-Net's own."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from coala_kedro.anatomy import CRLM
from coala_kedro.nnunet.checkpoints import LATEST, write_checkpoint
from coala_kedro.nnunet.guards import LossNotFiniteError
from coala_kedro.nnunet.protocol import Optimiser, Protocol
from coala_kedro.nnunet.records import Report
from coala_kedro.nnunet.training_set import Fold
from coala_kedro.nnunet.validation import Validation
from coala_kedro.nnunet.workspace import TRAINER_NAME
from coala_kedro.processes import RunStoppedError

_FIGURES = {
    "train_loss": "train_losses",
    "validation_loss": "val_losses",
    "learning_rate": "lrs",
    "pseudo_dice_mean": "mean_fg_dice",
}
"""An epoch's figures, and what nnU-Net's log calls them."""


class FoldTrainer(nnUNetTrainer):
    """One fold and stage, reproducible and resumable.

    Every epoch is seeded by itself, so a training that goes on from a checkpoint takes the same
    steps as one that was never stopped (with augmentation in its own process).
    """

    split: Fold
    protocol: Protocol
    reason_to_stop: Callable[[], str]
    epoch_start: memoryview

    def configure(self, split: Fold, protocol: Protocol, reason_to_stop: Callable[[], str]) -> None:
        """Set what nnU-Net leaves to attributes; before training.

        Args:
            split: Train and validation scans.
            protocol: How to train.
            reason_to_stop: Asked before every step; the training stops if it gives one.
        """
        self.split, self.protocol, self.reason_to_stop = split, protocol, reason_to_stop
        self.initial_lr = protocol.optimiser.initial_learning_rate
        self.weight_decay = protocol.optimiser.weight_decay
        self.num_epochs = protocol.epochs
        self.num_iterations_per_epoch = protocol.iterations_per_epoch
        self.num_val_iterations_per_epoch = protocol.validation_iterations_per_epoch
        self.oversample_foreground_percent = protocol.foreground_oversampling
        self.save_every = protocol.checkpoint_every_epochs
        # nnU-Net draws a picture after every epoch (a second each); MLflow shows the same curves.
        self.logger.plot_progress_png = lambda folder: None

    def _save_debug_information(self) -> None:
        """Leave `debug.json` out: it tells host and folders, and models are given away."""

    def initialize(self) -> None:
        """Build the network from seeded weights."""
        self._seed(epoch=-1)
        super().initialize()

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        """The protocol's optimiser with nnU-Net's schedule."""
        wanted: Optimiser = self.protocol.optimiser
        rate, decay = wanted.initial_learning_rate, wanted.weight_decay
        optimiser: torch.optim.Optimizer
        if wanted.name == "adam":
            optimiser = torch.optim.Adam(self.network.parameters(), rate, weight_decay=decay)
        else:
            optimiser = torch.optim.SGD(
                self.network.parameters(),
                rate,
                weight_decay=decay,
                momentum=wanted.momentum,
                nesterov=wanted.momentum > 0,
            )
        return optimiser, PolyLRScheduler(optimiser, rate, self.num_epochs)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple:  # noqa: N802
        """nnU-Net's augmentation; without mirroring if the protocol says so."""
        rotation, dummy_2d, patch_size, axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if not self.protocol.mirroring:
            axes = self.inference_allowed_mirroring_axes = None
        return rotation, dummy_2d, patch_size, axes

    def _build_loss(self) -> Callable[..., torch.Tensor]:
        """nnU-Net's loss, looked at before a step is taken from it.

        On a GPU gradients may be infinite (the scaler skips those steps); a loss may not.
        """
        loss = super()._build_loss()

        def finite_loss(*args: Any) -> torch.Tensor:
            value = loss(*args)
            if not torch.isfinite(value):
                raise LossNotFiniteError(f"The loss is {value.item()}")
            return value

        return finite_loss

    def do_split(self) -> tuple[list[str], list[str]]:
        """Our folds; nnU-Net would fall back to a random split for a fold it cannot find."""
        return self.split.train, self.split.validation

    def train_step(self, batch: dict) -> dict:
        """Train on one batch, unless there is a reason to stop.

        Args:
            batch: As nnU-Net's loader makes it.

        Raises:
            RunStoppedError: There is a reason; a checkpoint of the epoch's start is written.
        """
        if reason := self.reason_to_stop():
            write_checkpoint(Path(self.output_folder) / LATEST, self.epoch_start)
            raise RunStoppedError(
                f"stopped in epoch {self.current_epoch} of {self.num_epochs} ({reason}). A "
                "checkpoint of that epoch's start is written: run the same command again."
            )
        return self._watched(super().train_step, batch)

    def validation_step(self, batch: dict) -> dict:
        """Validate one batch, with the weights of the epoch's last training step.

        Args:
            batch: As nnU-Net's loader makes it.
        """
        return self._watched(super().validation_step, batch)

    def _watched(self, step: Callable[[dict], dict], batch: dict) -> dict:
        try:
            return step(batch)
        except LossNotFiniteError as error:
            cases = ", ".join(sorted({str(case) for case in batch["keys"]}))
            raise LossNotFiniteError(
                f"{error} in epoch {self.current_epoch} on a batch of the scans {cases}: look at "
                "these scans and their label maps."
            ) from None

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Predict the fold's validation scans, those that are left, and measure Dice of all.

        Args:
            save_probabilities: Nobody reads them: they are not kept.

        Raises:
            RunStoppedError: There is a reason to stop; what is done stands.
        """
        self.set_deep_supervision_enabled(False)
        try:
            validation = Validation(self)
            validation.predict(self.split.validation, self.reason_to_stop)
            validation.score()
        finally:
            self.set_deep_supervision_enabled(True)
            compute_gaussian.cache_clear()

    def on_epoch_start(self) -> None:
        """Seed the epoch, and remember its start: what a training that is stopped goes on from."""
        self.current_epoch -= 1  # nnU-Net writes the number of the epoch after
        self.epoch_start = self._serialised()
        self.current_epoch += 1
        self._seed(self.current_epoch)
        loader = getattr(self.dataloader_train, "data_loader", None)  # in this process, or nowhere
        for transform in _parts(getattr(loader, "transforms", None)):
            # The cascade's transforms shuffle their channels in place: a state that no checkpoint
            # holds.
            if isinstance(getattr(transform, "channel_idx", None), list):
                transform.channel_idx.sort()
        super().on_epoch_start()

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint whole or not at all.

        Args:
            filename: Its path.
        """
        write_checkpoint(Path(filename), self._serialised())

    def end_workers(self) -> None:
        """End the augmentation's processes, if there are any and nnU-Net has not ended them."""
        for loader in (self.dataloader_train, self.dataloader_val):
            if hasattr(loader, "_finish"):
                loader._finish()

    def _serialised(self) -> memoryview:
        buffer = io.BytesIO()
        super().save_checkpoint(buffer)
        return buffer.getbuffer()

    def _seed(self, epoch: int) -> None:
        stage = int(self.is_cascaded)
        sequence = np.random.SeedSequence([self.protocol.seed, self.fold, stage, epoch + 1])
        seed = int(sequence.generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)


def _parts(transform: Any) -> Iterator[Any]:
    """A transform and all that it is made of."""
    if transform is not None:
        yield transform
        for part in (*getattr(transform, "transforms", ()), getattr(transform, "transform", None)):
            yield from _parts(part)


# Checkpoints and folders carry the class's name, and stock nnU-Net looks the class up by it.
FoldTrainer.__name__ = TRAINER_NAME


class EpochLogger:
    """A logger in nnU-Net's sense that reads its log, and hands the figures on, at an epoch's end.

    That is before the epoch's checkpoint is written: a record may hold an epoch that is trained
    again, and lacks none.
    """

    def __init__(
        self, log: MetaLogger, usage: Callable[[], dict[str, float]], report: Report
    ) -> None:
        self._log, self._usage, self._report = log, usage, report

    def log(self, key: str, value: Any, step: int) -> None:
        """Hand on the figures of an epoch whose end is logged.

        Args:
            key: nnU-Net's name of what is logged.
            value: What is logged.
            step: The epoch, from 0.
        """
        if key != "epoch_end_timestamps":
            return
        logged = self._log.get_value
        figures = {name: float(logged(key, step)) for name, key in _FIGURES.items()}
        figures["pseudo_dice_crlm"] = float(logged("dice_per_class_or_region", step)[CRLM - 1])
        figures["epoch_seconds"] = value - logged("epoch_start_timestamps", step)
        self._report(step, figures | self._usage())

    def log_summary(self, key: str, value: Any) -> None:
        """Log nothing: the final validation is read from its file.

        Args:
            key: Unused.
            value: Unused.
        """

    def update_config(self, config: dict[str, Any]) -> None:
        """Log nothing: the study logs its settings.

        Args:
            config: Unused.
        """
