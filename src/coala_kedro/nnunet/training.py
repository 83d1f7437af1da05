"""Training of one fold and stage, in a process of its own."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import psutil

from coala_kedro.child_process import logged, stoppable
from coala_kedro.disk import DiskFullError, remove_partial
from coala_kedro.fingerprint import recipe
from coala_kedro.locking import alone_in
from coala_kedro.models.parameters import Compute
from coala_kedro.nnunet import guards
from coala_kedro.nnunet.checkpoints import FINAL, PREVIOUS, CheckpointError, load_newest
from coala_kedro.nnunet.planning import plans_of, shareable_description
from coala_kedro.nnunet.process import choose_device, in_own_process
from coala_kedro.nnunet.protocol import Protocol
from coala_kedro.nnunet.records import AttemptRecord, Report, epochs_done
from coala_kedro.nnunet.training_set import Fold
from coala_kedro.nnunet.workspace import (
    CONFIGURATIONS,
    DATASET_NAME,
    Stage,
    model_folder_name,
    nnunet_paths,
)
from coala_kedro.nnunet.written import WrittenError, validate
from coala_kedro.processes import ProcessDiedError, RunStoppedError
from coala_kedro.progress import progress
from coala_kedro.weights import UnsafeCheckpointError

if TYPE_CHECKING:
    from coala_kedro.nnunet.trainer import FoldTrainer

logger = logging.getLogger(__name__)

LOG = "console.log"
_OURS = (
    CheckpointError,
    DiskFullError,
    guards.GuardError,
    guards.LossNotFiniteError,
    ProcessDiedError,
    UnsafeCheckpointError,
    RunStoppedError,
    WrittenError,
)
"""Errors that say what to do; the training's name is put before their message."""
_LOOK_EVERY_S = 1.0
_TELL_EVERY_S = 600.0

Monitor = Callable[[Path], AbstractContextManager[Report]]
"""Opens a report for the training in a folder: called with the epoch and its figures."""


class Made(Interface):
    """A folder that is finished: where it lies and what made it."""

    @property
    def path(self) -> Path:
        """Absolute path."""

    @property
    def fingerprint(self) -> str:
        """Of the recipe that filled it."""


@dataclass(frozen=True)
class Job:
    """One training, as its process gets it; see `train_fold`.

    Attributes:
        deadline: When it stops, in seconds since the epoch of Unix.
    """

    folder: Path
    prepared: Path
    split: Fold
    fold: int
    stage: Stage
    earlier: tuple[Path, ...]
    protocol: Protocol
    compute: Compute
    deadline: float | None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.folder.parts[-4]} {self.stage} fold {self.fold}"

    @property
    def cases(self) -> list[str]:
        """Every scan it reads."""
        return [*self.split.train, *self.split.validation]

    @property
    def handed_on(self) -> Path:
        """Where the first stage writes its predictions for the second."""
        lowres = self.folder.parents[1] / model_folder_name("lowres")
        return lowres / "predicted_next_stage" / CONFIGURATIONS["cascade"]


@recipe("training")
def train_fold(
    folder: Path,
    *,
    prepared: Made,
    split: Fold,
    fold: int,
    stage: Stage,
    earlier: Sequence[Made],
    protocol: Protocol,
    compute: Compute,
    monitor: Monitor,
) -> None:
    """Train one fold and stage; go on from its last checkpoint if there is one.

    Args:
        folder: nnU-Net's own folder of this fold.
        prepared: Plans and preprocessed data; its fingerprint counts, its place does not.
        split: Train and validation scans of the fold.
        fold: Its number.
        stage: `lowres` or `cascade`.
        earlier: The finished lowres folds that a cascade fold reads; their fingerprints count.
        protocol: How to train.
        compute: The machine.
        monitor: Where each epoch's figures go.

    Raises:
        GuardError: Data, memory or room is missing.
        LossNotFiniteError: Twice, from the last checkpoint on.
        CheckpointError: The disk is full, or no checkpoint can be read.
        DiskFullError: The disk is full in the validation; the training is kept.
        RunStoppedError: It was asked to stop, or `compute.max_hours` are over.
        ProcessDiedError: Its process died.
    """
    expected = (DATASET_NAME, model_folder_name(stage), f"fold_{fold}")
    if folder.parts[-3:] != expected:
        raise ValueError(
            f"{folder}: the catalog path of this fold must end in {'/'.join(expected)}."
        )
    limit = compute.max_hours
    # The study's process, or on a cluster the worker's: as old as its job.
    deadline = psutil.Process().create_time() + limit * 3600 if limit else None
    job = Job(
        folder=folder,
        prepared=prepared.path,
        split=split,
        fold=fold,
        stage=stage,
        earlier=tuple(made.path for made in earlier),
        protocol=protocol,
        compute=compute,
        deadline=deadline,
    )
    try:
        with _shown(job):
            in_own_process(compute, compute.warm, _train, job, monitor)
    except _OURS as error:
        raise type(error)(f"{job.title}: {error} Log: {folder / LOG}") from None


@contextlib.contextmanager
def _shown(job: Job) -> Iterator[None]:
    """Show how far a training in another process is, by its record: a bar, and a line at times."""
    ended = threading.Event()
    total, told = job.protocol.epochs, time.monotonic()

    def follow(advance: Callable[[int], None]) -> None:
        nonlocal told
        while not ended.wait(_LOOK_EVERY_S):
            done, seconds = epochs_done(job.folder)
            advance(done)
            if done and time.monotonic() - told > _TELL_EVERY_S:
                told, hours = time.monotonic(), (total - done) * seconds / 3600
                logger.info("%s: epoch %d of %d, %.1f h left.", job.title, done, total, hours)

    with progress(job.title, "epoch", total, epochs_done(job.folder)[0]) as advance:
        watcher = threading.Thread(target=follow, args=(advance,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _train(job: Job, monitor: Monitor) -> None:
    with (
        alone_in(job.folder),
        nnunet_paths(job.prepared, results=job.folder.parents[2]),
        logged(job.folder / LOG),
        monitor(job.folder) as report,
        AttemptRecord(job.folder, _device_name(job.compute), report)() as record,
    ):
        remove_partial(job.folder)
        guards.check_preprocessed(job.prepared, job.cases)
        if job.stage == "cascade":
            guards.check_handed_on(job.earlier, job.handed_on, job.cases)
        with stoppable() as asked_to_stop:
            reason_to_stop = functools.partial(_reason_to_stop, job, asked_to_stop)
            try:
                trainer = _trained(job, reason_to_stop, record.report)
            except guards.LossNotFiniteError as error:
                trainer = None
                print(f"{error} Once more from the last checkpoint.")  # noqa: T201
            trainer = trainer or _trained(job, reason_to_stop, record.report)
            further = job.handed_on if job.stage == "lowres" else None
            validate(trainer, job.prepared, job.split.validation, further)
        if job.stage == "lowres":
            guards.hand_on(job.folder, job.handed_on, job.split.validation)


def _trained(job: Job, reason_to_stop: Callable[[], str], report: Report) -> FoldTrainer:
    """The fold's trainer at the end of its training; what is left of it is done here."""
    import torch

    from coala_kedro.nnunet.trainer import EpochLogger
    from coala_kedro.nnunet.usage import Usage

    trainer = _trainer(job, reason_to_stop)
    if not (job.folder / FINAL).is_file():
        _check_machine(job, trainer)
    if load_newest(job.folder, trainer.load_checkpoint) == FINAL:
        return trainer
    with Usage(trainer.device).watched() as usage:
        trainer.logger.loggers.append(EpochLogger(trainer.logger, usage.take, report))
        try:
            trainer.run_training()
        except BaseException:
            trainer.end_workers()
            raise
    (job.folder / PREVIOUS).unlink(missing_ok=True)
    torch.cuda.empty_cache()
    return trainer


def _trainer(job: Job, reason_to_stop: Callable[[], str]) -> FoldTrainer:
    import torch

    from coala_kedro.nnunet.trainer import FoldTrainer

    trainer = FoldTrainer(
        plans=plans_of(job.prepared) | {"continue_training": True},
        configuration=CONFIGURATIONS[job.stage],
        fold=job.fold,
        dataset_json=shareable_description(job.prepared),
        device=torch.device(choose_device(job.compute)),
    )
    trainer.configure(job.split, job.protocol, reason_to_stop)
    return trainer


def _reason_to_stop(job: Job, asked_to_stop: Callable[[], bool]) -> str:
    if asked_to_stop():
        return "it was asked to stop"
    if job.deadline is not None and time.time() > job.deadline:
        return f"compute.max_hours, {job.compute.max_hours}, are over"
    return ""


def _check_machine(job: Job, trainer: FoldTrainer) -> None:
    """Look for memory and room before anything takes them; builds the network."""
    import torch

    if trainer.device.type == "cuda":
        gc.collect()  # an earlier trainer of this process
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(trainer.device)
        guards.check_gpu_memory(job.protocol.planning.gpu_memory_target_gb, free)
    trainer.initialize()
    optimiser = job.protocol.optimiser.name
    guards.check_disk(job.folder, guards.checkpoint_bytes(trainer.network, optimiser))


def _device_name(compute: Compute) -> str:
    """`NVIDIA A100-SXM4-40GB`, or `CPU`."""
    import torch

    return torch.cuda.get_device_name(0) if choose_device(compute) == "cuda" else "CPU"
