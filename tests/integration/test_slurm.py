"""The miniature's teacher on a real SLURM of one node, whose jobs are cancelled and cut off."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import slurm_site
from mlflow import MlflowClient
from slurm_site import ask, states, working_in
from test_resume import EPOCHS, wait_until

NOT_HERE = slurm_site.why_not()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("killed_study"),
    pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE),
]

SCRIPTS = Path(__file__).parents[2] / "docs" / "gpu_servers"
LIMIT_S = 1200

CLUSTER = """\
cluster:
  kind: slurm
  workers: 2
  slurm: {{cores: 1, memory: 4GB, walltime: "00:30:00", interface: lo, log_folder: {logs}}}
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """SLURM's environment; `kedro` is on its path."""
    with slurm_site.running(tmp_path / "slurm") as environment:
        for name in ("SLURM_CONF", "PATH"):
            monkeypatch.setenv(name, environment[name])
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{environment['PATH']}")
        yield environment | {"PATH": os.environ["PATH"]}


@pytest.fixture
def study(miniature, tmp_path):
    """The study before its teacher was trained; checkpoints are only those of stops."""
    parts = ("01_raw", "02_intermediate", "03_primary", "05_model_input/teacher")
    copied = miniature.copy(tmp_path / "data", *parts)
    return dataclasses.replace(copied, changed={"protocol.checkpoint_every_epochs": 50})


@pytest.fixture
def held_in_mid_fold(study, epochs_begun):
    return partial(hold_in_mid_fold, study, epochs_begun)


def hold_in_mid_fold(study, epochs_begun, folds, failed):
    """Let all trainings get into their second epoch and hold them there."""
    folders = [study.fold_folder("teacher", "lowres", k) for k in folds]

    def seen():
        assert not failed(), "it ended before its time"
        return [folder for folder in folders if 1 in epochs_begun(folder)]

    held = set()
    while len(held) < len(folders):
        wait_until(lambda: {*seen()} - held, "no fold begins", LIMIT_S)
        for folder in {*seen()} - held:
            signal_all(folder, signal.SIGSTOP)
            held.add(folder)
    return folders


def signal_all(folder, number):
    for process in working_in(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def let_walltime_end(slurm, job, in_minutes):
    """Shorten a running job's walltime: until then it may take as long as the machine needs."""
    minutes_old = int(ask(slurm, "squeue", "-h", "-j", job, "-o", "%M").split(":")[0])
    limit = f"TimeLimit={minutes_old + in_minutes}"
    ask(slurm, "scontrol", "update", f"JobId={job}", limit)


def assert_went_on(begun):
    assert sorted({*begun}) == EPOCHS
    assert begun.count(0) == 1, "begun anew"
    assert len(begun) == len(EPOCHS) + 1, "not cut off"


def assert_same_teacher(study, miniature, same_weights):
    name = "teacher_cross_validation.csv"
    one, other = (s.data / "08_reporting" / name for s in (study, miniature))
    assert one.read_bytes() == other.read_bytes()
    for k in range(5):
        folders = (s.fold_folder("teacher", "cascade", k) for s in (study, miniature))
        assert same_weights(*folders)


def test_dask_on_slurm(
    study, miniature, slurm, held_in_mid_fold, epochs_begun, same_weights, tmp_path
):
    conf = miniature.project / "conf" / "slurm"
    shutil.copytree(miniature.project / "conf" / "demo", conf)
    (conf / "parameters_cluster.yml").write_text(CLUSTER.format(logs=tmp_path / "logs"))
    study = dataclasses.replace(study, env="slurm")
    runner = ("--runner", "coala_kedro.runners.DaskRunner")
    log = tmp_path / "log"
    kedro = study.start("--pipelines", "teacher", log=log, runner=runner)

    folders = held_in_mid_fold((0, 1), failed=kedro.poll)
    assert [*states(slurm).values()] == ["RUNNING"] * 2
    cancelled, cut_off = states(slurm)
    ask(slurm, "scancel", cancelled)
    let_walltime_end(slurm, cut_off, in_minutes=1)
    assert kedro.wait(LIMIT_S) == 0, log.read_text()[-4000:]
    assert {"CANCELLED", "TIMEOUT"} <= {*states(slurm).values()}
    assert not working_in(study.data), "an orphan is left"
    for folder in folders:
        assert_went_on(epochs_begun(folder))
    assert_same_teacher(study, miniature, same_weights)


@pytest.fixture
def mlflow_server(slurm, tmp_path):
    """The server for many machines, as the documentation starts it; its address."""
    port, log = slurm_site.free_port(), tmp_path / "mlflow.log"
    command = [SCRIPTS / "mlflow_server.sh", tmp_path / "mlflow", str(port), "127.0.0.1"]
    with log.open("w") as file:
        server = subprocess.Popen(
            command, env=slurm, stdout=file, stderr=file, start_new_session=True
        )
    wait_until(lambda: "startup complete" in log.read_text(), "the server does not start")
    yield f"http://127.0.0.1:{port}"
    os.killpg(server.pid, signal.SIGTERM)
    server.wait()


def test_array_script(
    study,
    miniature,
    slurm,
    mlflow_server,
    held_in_mid_fold,
    epochs_begun,
    same_weights,
    tmp_path,
):
    arguments = ["--env", "demo", "--params", study.parameters]
    tracked = study.environment | {"MLFLOW_TRACKING_URI": mlflow_server}

    def submit(command, *options, **environment):
        return subprocess.run(
            [*command, *options, *arguments],
            cwd=study.project,
            env=slurm | tracked | environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    lowres = (SCRIPTS / "fold.sbatch", "teacher", "lowres")
    array = submit(
        ["sbatch", "--parsable", "--array=0,1", *lowres],
        SBATCH_TIMELIMIT="30",
        SBATCH_SIGNAL="B:USR1@30",
    )
    folders = held_in_mid_fold((0, 1), failed=lambda: "FAILED" in states(slurm).values())
    ask(slurm, "scancel", f"{array}_0")
    let_walltime_end(slurm, f"{array}_1", in_minutes=2)
    # The script itself stops the other before its time is over, and puts it back into the queue.
    log = study.project / f"slurm-coala-fold-{array}_1.log"
    wait_until(lambda: "The walltime ends" in log.read_text(), "not told in time", LIMIT_S)
    signal_all(folders[1], signal.SIGCONT)
    wait_until(lambda: states(slurm)[f"{array}_1"] == "PENDING", "not requeued", LIMIT_S)
    assert states(slurm)[f"{array}_0"] == "CANCELLED"
    ask(slurm, "scontrol", "update", f"JobId={array}_1", "StartTime=now", "TimeLimit=10")
    wait_until(lambda: states(slurm)[f"{array}_1"] == "COMPLETED", "not resumed", LIMIT_S)
    assert not (folders[0] / ".complete.json").exists()

    last = submit([SCRIPTS / "train.sh", "teacher"])
    under_way = ("PENDING", "RUNNING", "COMPLETING")
    wait_until(lambda: states(slurm)[last] not in under_way, "no end", LIMIT_S)
    assert states(slurm)[last] == "COMPLETED"
    for folder in folders:
        assert_went_on(epochs_begun(folder))
    assert_same_teacher(study, miniature, same_weights)
    assert_in_one_experiment(study, MlflowClient(mlflow_server))


def assert_in_one_experiment(study, client):
    experiment = client.get_experiment_by_name("coala_kedro").experiment_id
    runs = client.search_runs([experiment], max_results=500)
    trainings = [run for run in runs if run.info.status == "FINISHED" and "fold" in run.data.params]
    assert {(run.data.params["stage"], run.data.params["fold"]) for run in trainings} == {
        (stage, str(k)) for stage in ("lowres", "cascade") for k in range(5)
    }
    assert {run.data.tags["study"] for run in runs} == {study.settings["study"]}
    files = [f.path for run in runs for f in client.list_artifacts(run.info.run_id)]
    assert files.count("teacher_cross_validation.csv") == 1
    assert len(client.search_experiments()) == 2, "besides MLflow's own, one"
