"""A record of a training, attempt by attempt, in a file beside its checkpoints."""

from __future__ import annotations

import importlib.metadata
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from coala_kedro.anatomy import STRUCTURES
from coala_kedro.nnunet.model import TrainedModel
from coala_kedro.nnunet.workspace import CONFIGURATIONS
from coala_kedro.processes import RunStoppedError
from coala_kedro.provenance import read_provenance, write_provenance

Report = Callable[[int, dict[str, float]], None]
"""Called after every epoch with its number and figures."""

_RECORD = "training.json"
_FIGURES = ("train_loss", "validation_loss", "pseudo_dice_crlm")
_SOFTWARE = ("coala_kedro", "nnunetv2", "torch")


class AttemptRecord:
    """One attempt at a training, written anew after every epoch.

    It is the one record of a training's curves: the frame, progress bars and MLflow come from it.
    """

    def __init__(self, folder: Path, device: str, report: Report) -> None:
        """Begin an attempt.

        Args:
            folder: Of the training.
            device: Its name.
            report: Called with every epoch that is noted.
        """
        self._file, self._started, self._report = folder / _RECORD, time.monotonic(), report
        self._attempts = _attempts(folder)
        self._attempt: dict[str, Any] = {
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": device,
            "software": {name: _version(name) for name in _SOFTWARE},
            "epochs": [],
        }

    @contextmanager
    def __call__(self) -> Iterator[AttemptRecord]:
        """Note how the attempt ends; one that is killed stays `running`."""
        try:
            self._write("running")
            yield self
        except BaseException as error:
            self._write("stopped" if isinstance(error, RunStoppedError) else "failed")
            raise
        self._write("finished")

    def report(self, epoch: int, figures: dict[str, float]) -> None:
        """Note an epoch's figures, and tell of them.

        Args:
            epoch: From 0.
            figures: Losses, seconds and use of the machine by name.
        """
        self._attempt["epochs"].append({"epoch": epoch, **figures})
        self._write("running")
        self._report(epoch, figures)

    def _write(self, status: str) -> None:
        seconds = round(time.monotonic() - self._started, 1)
        self._attempt |= {"status": status, "seconds": seconds}
        write_provenance(self._file, {"attempts": [*self._attempts, self._attempt]})


def epochs_done(folder: Path) -> tuple[int, float]:
    """How many epochs of a training are done, and seconds of the last, from its record.

    Args:
        folder: Of the training.
    """
    done = [epoch for attempt in _attempts(folder) for epoch in attempt["epochs"]]
    return (done[-1]["epoch"] + 1, done[-1]["epoch_seconds"]) if done else (0, 0.0)


def training_curves_frame(model: TrainedModel) -> pd.DataFrame:
    """Every epoch's figures of every training, in the attempt that was kept.

    Args:
        model: The trained model.

    Returns:
        One row per stage, fold and epoch: `stage, fold, epoch, train_loss, validation_loss,
        learning_rate, pseudo_dice_mean, pseudo_dice_crlm, epoch_seconds` and the use of the
        machine; no row of trainings that kept no record.
    """
    rows = [
        {"stage": stage, "fold": fold, **figures}
        for stage, fold, attempts in _trainings(model)
        for attempt in attempts
        for figures in attempt["epochs"]
    ]
    frame = pd.DataFrame(rows, columns=None if rows else ["stage", "fold", "epoch", *_FIGURES])
    return frame.drop_duplicates(["stage", "fold", "epoch"], keep="last")


def training_cost_frame(model: TrainedModel) -> pd.DataFrame:
    """The cost of every training, over all its attempts.

    Args:
        model: The trained model.

    Returns:
        One row per stage and fold: `stage, fold, device, epochs, epochs_trained, attempts, hours`.
        Epochs that were trained twice count twice in `epochs_trained`; an epoch that was cut off
        is in no figure. Hours are those of the device, the final validation included.
    """
    return pd.DataFrame(
        {
            "stage": stage,
            "fold": fold,
            "device": ", ".join(sorted({attempt["device"] for attempt in attempts})),
            "epochs": len({epoch["epoch"] for a in attempts for epoch in a["epochs"]}),
            "epochs_trained": sum(len(attempt["epochs"]) for attempt in attempts),
            "attempts": len(attempts),
            "hours": sum(attempt["seconds"] for attempt in attempts) / 3600,
        }
        for stage, fold, attempts in _trainings(model)
    )


def training_software(model: TrainedModel) -> dict[str, str]:
    """Versions of the software that trained the model, by name; several where attempts differ.

    Args:
        model: The trained model.
    """
    used = [attempt["software"] for _, _, attempts in _trainings(model) for attempt in attempts]
    return {name: ", ".join(sorted({software[name] for software in used})) for name in _SOFTWARE}


def _trainings(model: TrainedModel) -> Iterator[tuple[str, Any, list[dict[str, Any]]]]:
    for stage in CONFIGURATIONS:
        for fold in model.folds:
            yield stage, fold, _attempts(model.stage_folder(stage) / f"fold_{fold}")


def _attempts(folder: Path) -> list[dict[str, Any]]:
    return (read_provenance(folder / _RECORD) or {"attempts": []})["attempts"]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def cross_validation_frame(model: TrainedModel) -> pd.DataFrame:
    """Dice that nnU-Net measured on the validation scans.

    Args:
        model: The trained model.

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
    return json.loads(summary.read_text(encoding="utf-8"))["metric_per_case"]
