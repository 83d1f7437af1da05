"""MLflow: the only module that imports it.

kedro-mlflow opens one run per `kedro run`. This module adds a child run per training with live
curves, and logs what the catalog asks for (`metadata: {mlflow: [artifact, metrics, plans]}`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

# Before anything imports mlflow: it reports usage unless this is set.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

Report = Callable[[int, dict[str, float]], None]

_MAX_PARAMETER_LENGTH = 500
_PLANS_FILE = "nnUNetPlans.json"


@dataclass(frozen=True)
class TrainingMonitor:
    """Opens a child run for one training; works in any process, for it knows where to report.

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
    def __call__(self) -> Iterator[Report]:
        """A report to call after each epoch; the run is marked failed if the training fails."""
        if not self.uri:
            yield lambda epoch, figures: None
            return
        from mlflow import MlflowClient

        client = MlflowClient(self.uri)
        parent = client.get_run(self.parent_run_id)
        child = client.create_run(
            parent.info.experiment_id,
            run_name=self.name,
            tags={"mlflow.parentRunId": self.parent_run_id},
        )
        for name, value in self.settings:
            client.log_param(child.info.run_id, name, value[:_MAX_PARAMETER_LENGTH])
        try:
            yield lambda epoch, figures: _log_figures(client, child.info.run_id, epoch, figures)
        except BaseException:
            client.set_terminated(child.info.run_id, "FAILED")
            raise
        client.set_terminated(child.info.run_id, "FINISHED")


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


def _log_figures(client: Any, run_id: str, epoch: int, figures: dict[str, float]) -> None:
    from mlflow.entities import Metric

    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    metrics = [Metric(name, value, 0, epoch) for name, value in finite.items()]
    client.log_batch(run_id, metrics=metrics)


class TrackingHooks:
    """Logs catalogued results to the run as they are saved."""

    def __init__(self) -> None:
        self._catalog: DataCatalog | None = None
        self._run_id = ""

    @hook_impl(trylast=True)
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Remember the catalog, which says what is logged, and kedro-mlflow's run."""
        import mlflow

        self._catalog = catalog
        run = mlflow.active_run()
        self._run_id = run.info.run_id if run else ""

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Mark trainings whose process was killed as failed: they could not say so themselves."""
        if not self._run_id:
            return
        from mlflow import MlflowClient

        client = MlflowClient()
        experiment = client.get_run(self._run_id).info.experiment_id
        below = f"tags.mlflow.parentRunId = '{self._run_id}' and attributes.status = 'RUNNING'"
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
            mlflow.log_artifact(str(dataset._filepath))
        if "metrics" in wanted:
            mlflow.log_metrics(summary_metrics(data))
        if "plans" in wanted:
            model, _ = dataset_name.split(".", maxsplit=1)
            for plans in dataset.load().path.rglob(_PLANS_FILE):
                mlflow.log_artifact(str(plans), artifact_path=model)


def summary_metrics(summary: pd.DataFrame) -> dict[str, float]:
    """The summary's figures by name: `<model>.<cohort>.<subset>.<metric>`; without NaN."""
    known = summary.dropna(subset=["value"])
    names = known[["model", "cohort", "subset", "metric"]].agg(".".join, axis=1)
    for sign, word in (("<", "below"), (">", "above")):  # MLflow takes no signs.
        names = names.str.replace(sign, word)
    return dict(zip(names, known["value"].astype(float), strict=True))
