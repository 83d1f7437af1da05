"""The miniature study on Dask clusters."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest
from mlflow import MlflowClient
from slurm_site import working_in
from test_resume import EPOCHS, LIMIT_S, descendants, is_running, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed_study")]

ON_DASK = ("--runner", "coala_kedro.runners.DaskRunner", "--runner-params")
RESULTS = ("summary", "scan_metrics", "lesion_summary", "table_2", "student_cross_validation")


def assert_same_results(study, other):
    for name in RESULTS:
        one, two = (s.data / "08_reporting" / f"{name}.csv" for s in (study, other))
        assert one.read_bytes() == two.read_bytes(), name


def newest_run(study):
    """Of MLflow: parameters, metrics and artifacts of the last `kedro run`, and how it ended."""
    client = MlflowClient(study.tracking)
    experiment = client.get_experiment_by_name("coala_kedro").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    run = next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    histories = {m: client.get_metric_history(run.info.run_id, m) for m in run.data.metrics}
    assert all(len(history) == 1 for history in histories.values()), "logged more than once"
    artifacts = [file.path for file in client.list_artifacts(run.info.run_id)]
    return run.info.status, run.data.params, run.data.metrics, artifacts


def test_two_workers_give_the_same_study(miniature, same_weights, tmp_path):
    sequential = newest_run(miniature)
    study = miniature.copy(tmp_path / "data", "01_raw")
    log = study.run("--pipelines", "demo", log=tmp_path / "log", runner=(*ON_DASK, "workers=2"))
    assert log.count("fold_") > log.count(" made in ") == 2 * (1 + 2 * 5)
    assert_same_results(study, miniature)
    for model in ("teacher", "student"):
        for stage in ("lowres", "cascade"):
            folders = (s.fold_folder(model, stage, 4) for s in (study, miniature))
            assert same_weights(*folders)
    assert newest_run(miniature) == sequential


@pytest.fixture
def cluster(miniature, tmp_path):
    """A scheduler and two workers as a user starts them; its file and the workers' processes."""
    file = tmp_path / "scheduler.json"
    environment = miniature.environment | {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    # What `kedro run` does by itself: the project's code is found in its folder.
    environment |= {"PYTHONPATH": str(miniature.project / "src")}
    loopback = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
    worker = ("worker", "--scheduler-file", file, *loopback, "--resources", "GPU=1")
    with contextlib.ExitStack() as stack, (tmp_path / "cluster.log").open("w") as log:

        def start(*arguments):
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, arguments)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        start("scheduler", "--port", "0", "--scheduler-file", file, *loopback)
        yield file, [start(*worker, "--nthreads", 2) for _ in range(2)]


def test_a_killed_worker_is_replaced_and_its_fold_goes_on(
    miniature, cluster, same_weights, epochs_begun, tmp_path
):
    parts = ("01_raw", "02_intermediate", "03_primary", "05_model_input", "06_models")
    study = miniature.copy(tmp_path / "data", *parts)
    folders = [study.fold_folder("teacher", "lowres", k) for k in (0, 1, 2)]
    for folder in folders:
        shutil.rmtree(folder)
    file, workers = cluster
    runner = (*ON_DASK, f"kind=scheduler,address={file}")
    kedro = study.start("--pipelines", "study", log=tmp_path / "log", runner=runner)

    def mid_fold():
        """A fold in its second epoch and the worker that trains it; a fold may end meanwhile."""
        assert kedro.poll() is None, (tmp_path / "log").read_text()[-4000:]
        for folder in folders:
            trainings = working_in(folder) if 1 in epochs_begun(folder) else set()
            for worker in workers:
                if trainings & {*descendants(worker.pid)}:
                    return folder, worker
        return None

    begun, victim = wait_until(mid_fold, "no fold begins")
    below = descendants(victim.pid)
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, below)), "an orphan is left", limit_s=30)

    assert kedro.wait(LIMIT_S) == 0, (tmp_path / "log").read_text()[-4000:]
    assert_same_results(study, miniature)
    assert sorted({*epochs_begun(begun)}) == EPOCHS
    assert epochs_begun(begun) != EPOCHS, "the fold was not killed"
    assert epochs_begun(begun).count(0) == 1, "the fold was begun anew"
    for k, folder in enumerate(folders):
        assert same_weights(folder, miniature.fold_folder("teacher", "lowres", k))
