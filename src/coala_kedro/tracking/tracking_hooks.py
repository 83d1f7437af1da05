"""Logs what the catalog asks for to the run of a `kedro run`, and says where to look at it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from coala_kedro.standing import Result
from coala_kedro.tracking.model_versions import log_training_set, place, register
from coala_kedro.tracking.training_runs import PARENT, PROCESS, STUDY, is_gone, this_process

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_SIGNS = {"<": "below", ">": "above", "≥": "from"}
_NOT_IN_NAMES = r"[^\w\-. :/]"
"""What MLflow does not take in a metric's name."""
_PLANS_FILE = "nnUNetPlans.json"

_LOCAL_UI = "http://127.0.0.1:5000"
_RUNS_PAGE = "/#/experiments/{}/runs?workflowType=machine_learning"
"""MLflow's pages are about language models unless an address asks for training; a reader who clicks
through from the first page finds no run."""
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "Choose Model training, above on the left, for the runs: one per "
    "`kedro run`, with a child per training.",
}


class TrackingHooks:
    """Logs catalogued results to the run as they are saved.

    A runner may copy it to other processes after `before_pipeline_run`: it knows where to report.
    """

    def __init__(self) -> None:
        self._catalog: DataCatalog | None = None
        self._run_id = ""
        self._experiment_id = ""
        self._uri = ""

    @hook_impl(trylast=True)
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Remember the catalog, which says what is logged, and kedro-mlflow's run; tidy up."""
        import mlflow

        self._catalog = catalog
        run = mlflow.active_run()
        self._run_id = run.info.run_id if run else ""
        self._experiment_id = run.info.experiment_id if run else ""
        self._uri = mlflow.get_tracking_uri()
        if run:
            client = mlflow.MlflowClient()
            client.set_tag(self._run_id, PROCESS, this_process())
            client.set_tag(self._run_id, STUDY, self._parameter("study"))
            _describe_experiment(client, self._experiment_id)
            _end_those_that_were_killed(client, self._experiment_id)

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
        below = f"tags.`{PARENT}` = '{self._run_id}' and attributes.status = 'RUNNING'"
        for child in client.search_runs([self._experiment_id], below):
            client.set_terminated(child.info.run_id, "FAILED")

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Log, at the end of all that is logged, where the runs are."""
        if self._run_id:
            logger.info("The runs in MLflow: %s", runs_page(self._uri, self._experiment_id))

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
        name = dataset_name.partition(".")[0]  # of the model, where there is one
        if "plans" in wanted:
            for plans in dataset.load().path.rglob(_PLANS_FILE):
                mlflow.log_artifact(str(plans), artifact_path=name)
        if "inputs" in wanted:
            log_training_set(dataset_name, self._place(Path(dataset._filepath)), data)
        if "model" in wanted:
            model = self._catalog.load(f"{name}.model")
            register(
                name,
                model,
                run_id=self._run_id,
                study=self._parameter("study"),
                path=self._place(model.path),
                card=data,
                with_weights=bool(self._parameter("mlflow_keeps_weights")),
            )

    def _place(self, path: Path) -> Path:
        """A path as MLflow may tell it in this run."""
        return place(path, bool(self._parameter("mlflow_tells_who_and_where")))

    def _parameter(self, name: str) -> Any:
        """A parameter of the run; empty where it has none of this name."""
        parameter, catalog = f"params:{name}", self._catalog
        return catalog.load(parameter) if catalog and parameter in catalog else ""


def _end_those_that_were_killed(client: MlflowClient, experiment_id: str) -> None:
    """Mark runs that no process of this machine works for any more, and that could not say so."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        if PROCESS in run.data.tags and is_gone(run.data.tags[PROCESS]):
            client.set_terminated(run.info.run_id, "KILLED")


def _describe_experiment(client: MlflowClient, experiment_id: str) -> None:
    """Lead readers to the runs; a description that somebody has written stays."""
    known = client.get_experiment(experiment_id).tags
    for name, value in _EXPERIMENT_TAGS.items():
        if name not in known:
            client.set_experiment_tag(experiment_id, name, value)


def runs_page(uri: str, experiment_id: str) -> str:
    """The address of an experiment's runs, on its server or on that which `mlflow ui` starts.

    Args:
        uri: MLflow's tracking URI; a password in it is left out.
        experiment_id: Of the experiment.
    """
    scheme, place, folder, _, _ = urlsplit(uri)
    if scheme in ("http", "https"):
        server = f"{scheme}://{place.rpartition('@')[2]}{folder.rstrip('/')}"
        return server + _RUNS_PAGE.format(experiment_id)
    page = _LOCAL_UI + _RUNS_PAGE.format(experiment_id)
    return f"{page}, once `mlflow ui` has started (make mlflow)"


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
