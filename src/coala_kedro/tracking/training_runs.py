"""MLflow's run of a training, and of which process each run is."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import psutil

from coala_kedro.processes import RunStoppedError
from coala_kedro.provenance import read_provenance, write_provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient

Report = Callable[[int, dict[str, float]], None]

logger = logging.getLogger(__name__)

_MAX_PARAMETER_LENGTH = 500
_MAX_BATCH = 500  # MLflow takes 1000 metrics at once.
_RUN_FILE = "mlflow_run.json"
PARENT, STUDY, PROCESS = "mlflow.parentRunId", "study", "process"


@dataclass(frozen=True)
class TrainingMonitor:
    """Opens the run of one training; works in any process, for it knows where to report.

    A training has one run, however often it was stopped: which one is noted in its folder.

    Attributes:
        uri: MLflow's tracking URI; empty reports to nobody.
        parent_run_id: The run of this `kedro run`.
        name: Of the child run.
        settings: Logged as its parameters, flat.
    """

    uri: str
    parent_run_id: str
    name: str
    settings: tuple[tuple[str, str], ...]

    @property
    def fingerprint(self) -> str:
        """Empty: where a training reports to does not change it."""
        return ""

    @contextmanager
    def __call__(self, folder: Path) -> Iterator[Report]:
        """A report to call after each epoch; at the end the run is marked by how it ended.

        Args:
            folder: Of the training.
        """
        if not self.uri:
            yield lambda epoch, figures: None
            return
        from mlflow import MlflowClient

        client = MlflowClient(self.uri)
        run = _TrainingRun(client, self._open(client, folder / _RUN_FILE))
        try:
            yield run.report
        except BaseException as error:
            run.end("KILLED" if isinstance(error, RunStoppedError) else "FAILED")
            raise
        run.end("FINISHED")

    def _open(self, client: MlflowClient, note: Path) -> str:
        """The training's run, below this `kedro run`; a new one if the server knows none."""
        parent = client.get_run(self.parent_run_id)
        study = parent.data.tags.get(STUDY, "")
        tags = {PARENT: self.parent_run_id, STUDY: study, PROCESS: this_process()}
        noted = (read_provenance(note) or {}).get("run_id", "")
        if _is_known(client, noted):
            client.update_run(noted, status="RUNNING")
            for name, value in tags.items():
                client.set_tag(noted, name, value)
            return noted
        run = client.create_run(parent.info.experiment_id, run_name=self.name, tags=tags)
        for name, value in self.settings:
            client.log_param(run.info.run_id, name, value[:_MAX_PARAMETER_LENGTH])
        write_provenance(note, {"run_id": run.info.run_id})
        return run.info.run_id


def _is_known(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(run_id) and client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException:
        return False


def this_process() -> str:
    """This process, told from all others on all machines, and no machine by its name."""
    return f"{_this_host()} {os.getpid()} {psutil.Process().create_time():.0f}"


def _this_host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def is_gone(process: str) -> bool:
    """Whether a process of this machine has ended; of another machine's nothing is known.

    Args:
        process: As `this_process` gives it.
    """
    host, pid, started = process.split(" ")
    if host != _this_host():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" != started
    except psutil.NoSuchProcess:
        return True


def monitor(model: str, stage: str, fold: int, settings: dict[str, Any]) -> TrainingMonitor:
    """A monitor that reports to the run of this `kedro run`, if there is one.

    Args:
        model: `teacher` or `student`.
        stage: `lowres` or `cascade`.
        fold: Its number.
        settings: How it is trained: the run's parameters.
    """
    import mlflow

    run = mlflow.active_run()
    flat = {str(k): str(v) for k, v in pd.json_normalize(settings).iloc[0].items()}
    about = (("model", model), ("stage", stage), ("fold", str(fold)))
    return TrainingMonitor(
        uri=mlflow.get_tracking_uri() if run else "",
        parent_run_id=run.info.run_id if run else "",
        name=f"{model} fold_{fold} {stage}",
        settings=(*about, *flat.items()),
    )


class _TrainingRun:
    """A run that is reported to as long as its server answers; no training fails of a server."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._unsent: list[Any] = []

    def report(self, epoch: int, figures: dict[str, float]) -> None:
        """Log an epoch's figures, and those that the server did not take before."""
        from mlflow.entities import Metric

        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        self._unsent += [Metric(name, value, 0, epoch) for name, value in finite.items()]
        with self._server_may_be_away():
            for start in range(0, len(self._unsent), _MAX_BATCH):
                batch = self._unsent[start : start + _MAX_BATCH]
                self._client.log_batch(self._run_id, metrics=batch)
            self._unsent.clear()

    def end(self, status: str) -> None:
        """Mark the run."""
        with self._server_may_be_away():
            self._client.set_terminated(self._run_id, status)

    @contextmanager
    def _server_may_be_away(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            logger.warning("MLflow does not answer, the training goes on: %s", error)
