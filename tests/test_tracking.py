"""MLflow as many attempts at a training leave it."""

import contextlib
import getpass
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from kedro.io import DataCatalog, MemoryDataset
from lazily import mlflow

from coala_kedro import tracking
from coala_kedro.private_tags import PrivateTagsHooks
from coala_kedro.processes import RunStoppedError
from coala_kedro.provenance import read_provenance, write_provenance
from coala_kedro.tracking import TrackingHooks, TrainingMonitor
from coala_kedro.tracking.tracking_hooks import runs_page, summary_metrics
from coala_kedro.tracking.training_runs import is_gone, this_process

pytestmark = pytest.mark.xdist_group("tracking")


@pytest.fixture(scope="module")
def client(empty_mlflow, tmp_path_factory):
    """A server's client."""
    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path_factory.mktemp('mlflow'))}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(before)


@pytest.fixture
def started(client):
    """What a `kedro run` starts with: its run, open; yields how to start one."""

    def start(study="hospital_a"):
        mlflow.end_run()
        run = mlflow.start_run()
        hooks = TrackingHooks()
        hooks.before_pipeline_run(DataCatalog({"params:study": MemoryDataset(study)}))
        return run.info.run_id, tracking.monitor(
            "teacher", "lowres", 2, {"epochs": 3, "a": {"b": 1}}
        )

    yield start
    mlflow.end_run()


def attempt(monitor, folder, epochs, error=None):
    """One attempt at a training; the run it reported to."""
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(RunStoppedError, RuntimeError), monitor(folder) as report:
        for epoch in epochs:
            report(epoch, {"train_loss": -0.1 * epoch, "gpu_percent": float("nan")})
        if error:
            raise error
    return read_provenance(folder / "mlflow_run.json")["run_id"]


def test_a_training_has_one_run_over_all_its_attempts(client, started, tmp_path):
    _, monitor = started()
    first = attempt(monitor, tmp_path, [0, 1], RunStoppedError("walltime"))
    assert client.get_run(first).info.status == "KILLED"
    assert attempt(monitor, tmp_path, [2], RuntimeError("out of memory")) == first
    assert client.get_run(first).info.status == "FAILED"
    later, monitor = started()
    assert attempt(monitor, tmp_path, [2, 3]) == first
    run = client.get_run(first)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == later
    assert run.data.tags["study"] == "hospital_a"
    assert run.data.params == {
        "model": "teacher",
        "stage": "lowres",
        "fold": "2",
        "epochs": "3",
        "a.b": "1",
    }
    history = client.get_metric_history(first, "train_loss")
    assert [metric.step for metric in history] == [0, 1, 2, 3]
    assert "gpu_percent" not in run.data.metrics


def test_a_training_outlives_its_server(client, started, tmp_path, monkeypatch, caplog):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    _, monitor = started()
    take, answers = MlflowClient.log_batch, iter([False, False, True, True])

    def log_batch(*args, **kwargs):
        if not next(answers):
            raise MlflowException("Connection refused")
        return take(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    run = attempt(monitor, tmp_path, [0, 1, 2, 3])
    assert caplog.text.count("does not answer, the training goes on: Connection refused") == 2
    history = client.get_metric_history(run, "train_loss")
    assert [metric.step for metric in history] == [0, 1, 2, 3], "nothing is lost"


def test_another_training_has_another_run(client, started, tmp_path):
    _, monitor = started()
    runs = {attempt(monitor, tmp_path / name, [0]) for name in ("fold_0", "fold_1")}
    assert len(runs) == 2


def test_a_run_that_the_server_does_not_know_is_made_anew(client, started, tmp_path):
    _, monitor = started()
    write_provenance(tmp_path / "mlflow_run.json", {"run_id": "0" * 32})
    assert client.get_run(attempt(monitor, tmp_path, [0])).info.status == "FINISHED"


def test_without_a_run_nobody_is_told(tmp_path):
    monitor = TrainingMonitor("", "", "teacher fold_0 lowres", ())
    with monitor(tmp_path) as report:
        report(0, {"train_loss": 1.0})
    assert not [*tmp_path.iterdir()]


def test_runs_whose_process_was_killed_are_marked_at_the_next_start(client, started, monkeypatch):
    parent, _ = started("hospital_a")
    experiment = client.get_run(parent).info.experiment_id
    me = this_process()
    host, pid, _ = me.split(" ")
    processes = {
        "ours": me,
        "gone": f"{host} {max(psutil.pids()) + 10_000} 1000",
        "its number was given to another": f"{host} {pid} 1000",
        "elsewhere": f"another-host {pid} 1000",
    }
    runs = {
        name: client.create_run(experiment, tags={"process": process}).info.run_id
        for name, process in processes.items()
    }
    runs["of another tool"] = client.create_run(experiment).info.run_id
    started("hospital_b")
    status = {name: client.get_run(run).info.status for name, run in runs.items()}
    assert {name for name, value in status.items() if value == "KILLED"} == {
        "gone",
        "its number was given to another",
    }
    assert {*status.values()} == {"KILLED", "RUNNING"}
    for run in runs.values():
        client.set_terminated(run)


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("sqlite:////home/study/mlflow.db", "http://127.0.0.1:5000"),
        ("postgresql://study:secret@database/mlflow", "http://127.0.0.1:5000"),
        ("http://gpu-1:5000", "http://gpu-1:5000"),
        ("https://study:secret@mlflow.hospital.example/a/", "https://mlflow.hospital.example/a"),
    ],
)
def test_the_address_of_the_runs_opens_the_runs_and_tells_no_password(uri, server):
    page = runs_page(uri, "7")
    assert page.split(",")[0] == f"{server}/#/experiments/7/runs?workflowType=machine_learning"
    assert ("once `mlflow ui` has started" in page) == ("http" not in uri)


def test_a_run_ends_with_the_address_of_the_runs(client, started, caplog):
    parent, _ = started()
    experiment = client.get_run(parent).info.experiment_id
    hooks = TrackingHooks()
    hooks.before_pipeline_run(DataCatalog())
    with caplog.at_level("INFO"):
        hooks.after_pipeline_run()
    assert f"/#/experiments/{experiment}/runs?workflowType=machine_learning" in caplog.messages[-1]


def test_the_experiment_is_one_of_training_and_says_where_its_runs_are(client, started):
    parent, _ = started()
    experiment = client.get_run(parent).info.experiment_id
    tags = client.get_experiment(experiment).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "Model training" in tags["mlflow.note.content"]
    client.set_experiment_tag(experiment, "mlflow.note.content", "Our study.")
    started()
    assert client.get_experiment(experiment).tags["mlflow.note.content"] == "Our study."


def test_figures_are_named_by_all_that_tells_them_apart():
    from mlflow.utils.validation import _validate_metric_name

    summary = pd.DataFrame(
        [
            ("student", "internal", "scanner", "Maker (№ 1)", "dice_mean", 0.8, 1),
            ("student", "internal", "TTV", "≥ 100 mL", "dice_mean", 0.9, 1),
            ("student", "internal", "TTV", "< 1 mL", "dice_mean", float("nan"), 0),
        ],
        columns=["model", "cohort", "grouping", "group", "metric", "value", "n_scans"],
    )
    metrics = summary_metrics(summary)
    assert metrics == {
        "student.internal.scanner.Maker __ 1_.dice_mean": 0.8,
        "student.internal.TTV.from 100 mL.dice_mean": 0.9,
    }
    for name in metrics:
        _validate_metric_name(name)


@pytest.fixture
def kedro_run(client, monkeypatch):
    """Starts a run as kedro-mlflow does, with what the hook leaves of it; yields its tags."""
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"ticket": "12"}')

    def start(**parameters):
        hooks = PrivateTagsHooks()
        hooks.after_context_created(SimpleNamespace(config_loader={"parameters": parameters}))
        told = {
            "project_path": str(Path.home() / "study"),
            "env": "oslo",
            "runtime_params": {
                "raw": "/pacs/export",
                "more": ["/pacs/a"],
                "protocol": {"epochs": 3, "at": "s3://b/x"},
            },
        }
        hooks.before_pipeline_run(told)
        mlflow.end_run()
        with mlflow.start_run(run_name="study") as run:
            mlflow.set_tags({name: value for name, value in told.items() if value})
        return client.get_run(run.info.run_id)

    yield start
    mlflow.end_run()


def test_tags_tell_nobody_s_name_host_or_folder(kedro_run):
    run = kedro_run()
    told = " ".join([run.info.user_id, *run.data.tags.values()])
    for private in (socket.gethostname(), str(Path.home()), "/", getpass.getuser()):
        assert private not in told
    assert run.data.tags["env"] == "oslo"
    assert run.data.tags["ticket"] == "12"
    assert run.data.tags["runtime_params"] == "{'protocol': {'epochs': 3}}"


def test_tags_tell_who_and_where_if_they_are_asked_to(kedro_run):
    run = kedro_run(mlflow_tells_who_and_where=True)
    assert run.data.tags["mlflow.user"] == getpass.getuser()
    assert run.data.tags["project_path"] == str(Path.home() / "study")
    assert "/pacs/export" in run.data.tags["runtime_params"]


def test_a_host_is_told_from_others_without_its_name():
    assert socket.gethostname() not in this_process()
    assert not is_gone(this_process())


def test_the_parameter_is_true_or_false(kedro_run):
    with pytest.raises(ValueError, match="must be true or false, not 'yes'"):
        kedro_run(mlflow_tells_who_and_where="yes")
