"""MLflow: the only module that imports it.

kedro-mlflow opens one run per `kedro run`. This module adds a child run per training with live
curves, which goes on when the training does, groups runs by study, and logs what the catalog asks
for (`metadata: {mlflow: [artifact, metrics, plans]}`).
"""

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
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from coala_kedro.processes import RunStoppedError
from coala_kedro.provenance import read_provenance, write_provenance
from coala_kedro.standing import Result

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Before anything imports mlflow: it reports usage unless this is set.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

Report = Callable[[int, dict[str, float]], None]

# A server that is away holds up an epoch for a minute, not for MLflow's own quarter of an hour.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

logger = logging.getLogger(__name__)

_SIGNS = {"<": "below", ">": "above", "≥": "from"}
_NOT_IN_NAMES = r"[^\w\-. :/]"
"""What MLflow does not take in a metric's name."""

_MAX_PARAMETER_LENGTH = 500
_MAX_BATCH = 500  # MLflow takes 1000 metrics at once.
_PLANS_FILE = "nnUNetPlans.json"
_RUN_FILE = "mlflow_run.json"
_PARENT, _STUDY, _PROCESS = "mlflow.parentRunId", "study", "process"


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
        study = parent.data.tags.get(_STUDY, "")
        tags = {_PARENT: self.parent_run_id, _STUDY: study, _PROCESS: _this_process()}
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


def _this_process() -> str:
    """This process, told from all others on all machines, and no machine by its name."""
    return f"{_this_host()} {os.getpid()} {psutil.Process().create_time():.0f}"


def _this_host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def _is_gone(process: str) -> bool:
    """Whether a process of this machine has ended; of another machine's nothing is known."""
    host, pid, started = process.split(" ")
    if host != _this_host():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" != started
    except psutil.NoSuchProcess:
        return True


def monitor(model: str, stage: str, fold: int, settings: dict[str, Any]) -> TrainingMonitor:
    """A monitor that reports to the run of this `kedro run`, if there is one."""
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


class TrackingHooks:
    """Logs catalogued results to the run as they are saved.

    A runner may copy it to other processes after `before_pipeline_run`: it knows where to report.
    """

    def __init__(self) -> None:
        self._catalog: DataCatalog | None = None
        self._run_id = ""
        self._uri = ""

    @hook_impl(trylast=True)
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Remember the catalog, which says what is logged, and kedro-mlflow's run; tidy up."""
        import mlflow

        self._catalog = catalog
        run = mlflow.active_run()
        self._run_id = run.info.run_id if run else ""
        self._uri = mlflow.get_tracking_uri()
        if run:
            client = mlflow.MlflowClient()
            client.set_tag(self._run_id, _PROCESS, _this_process())
            if "params:study" in catalog:
                client.set_tag(self._run_id, _STUDY, catalog.load("params:study"))
            _end_those_that_were_killed(client, run.info.experiment_id)

    @hook_impl(tryfirst=True)
    def before_node_run(self) -> None:
        """Point this process at the run's server, before kedro-mlflow joins the run in it."""
        import mlflow

        if mlflow.get_tracking_uri() != self._uri:
            mlflow.set_tracking_uri(self._uri)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Mark trainings whose process was killed as failed: they could not say so themselves."""
        if not self._run_id:
            return
        from mlflow import MlflowClient

        client = MlflowClient()
        experiment = client.get_run(self._run_id).info.experiment_id
        below = f"tags.`{_PARENT}` = '{self._run_id}' and attributes.status = 'RUNNING'"
        for child in client.search_runs([experiment], below):
            client.set_terminated(child.info.run_id, "FAILED")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log a dataset whose metadata asks for it."""
        import mlflow

        if self._catalog is None or mlflow.active_run() is None:
            return
        dataset: Any = self._catalog.get(dataset_name)
        wanted = (getattr(dataset, "metadata", None) or {}).get("mlflow", [])
        if "artifact" in wanted:
            for path in getattr(dataset, "artifacts", [dataset._filepath]):
                mlflow.log_artifact(str(path))
        if "metrics" in wanted:
            figures = dataset.load() if isinstance(data, Result) else data
            mlflow.log_metrics(summary_metrics(figures))
        if "plans" in wanted:
            model, _ = dataset_name.split(".", maxsplit=1)
            for plans in dataset.load().path.rglob(_PLANS_FILE):
                mlflow.log_artifact(str(plans), artifact_path=model)


def _end_those_that_were_killed(client: MlflowClient, experiment_id: str) -> None:
    """Mark runs that no process of this machine works for any more, and that could not say so."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        if _PROCESS in run.data.tags and _is_gone(run.data.tags[_PROCESS]):
            client.set_terminated(run.info.run_id, "KILLED")


def summary_metrics(summary: pd.DataFrame) -> dict[str, float]:
    """A tidy summary's figures by name, such as `<model>.<cohort>.<subset>.<metric>`; without NaN.

    Args:
        summary: A row a figure: `value`, named by the columns up to `metric`.
    """
    known = summary.dropna(subset=["value"])
    names = known.loc[:, :"metric"].astype(str).agg(".".join, axis=1)
    for sign, word in _SIGNS.items():
        names = names.str.replace(sign, word)
    names = names.str.replace(_NOT_IN_NAMES, "_", regex=True)
    return dict(zip(names, known["value"].astype(float), strict=True))
