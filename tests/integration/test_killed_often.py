"""A study that is killed at twenty random moments ends like one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed_study")]

N_KILLS, SEED, LIMIT_S = 20, 4, 400
TRAININGS = [
    (m, s, k) for m in ("teacher", "student") for s in ("lowres", "cascade") for k in range(5)
]
ZYGOTE = Path(__file__).with_name("zygote.py")


@pytest.fixture
def study(miniature, tmp_path):
    """The study with its scans preprocessed and nothing trained."""
    report = tmp_path / "data" / "08_reporting"
    copy = miniature.copy(report.parent, "01_raw", "02_intermediate", "03_primary")
    report.mkdir()
    for file in (miniature.data / "08_reporting").glob("*ternal_*.csv"):
        (report / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.fixture
def zygote(study, tmp_path):
    command = ("run", "--env", study.env, "--params", study.parameters)
    pipelines = ("--pipelines", "teacher,pseudolabel,student,evaluation")
    process = subprocess.Popen(
        [sys.executable, ZYGOTE, tmp_path / "run.log", *command, *pipelines],
        cwd=study.project,
        env=study.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.stdin.close()
    process.wait()


def begin(zygote):
    zygote.stdin.write("run\n")
    zygote.stdin.flush()
    return psutil.Process(int(zygote.stdout.readline()))


def status_of(zygote):
    return int(zygote.stdout.readline())


def test_twenty_kills_change_nothing(study, miniature, zygote, epochs_begun, tmp_path):
    epochs = miniature.protocol.epochs
    plan = len(TRAININGS) * epochs
    folders = [study.fold_folder(*training) for training in TRAININGS]
    random_ = random.Random(SEED)
    moments = sorted(random_.randrange(plan) for _ in range(N_KILLS))
    for moment in moments:
        run, since = begin(zygote), time.monotonic()
        while (begun := sum(len({*epochs_begun(folder)}) for folder in folders)) < moment:
            assert run.status() != psutil.STATUS_ZOMBIE, (tmp_path / "run.log").read_text()
            assert time.monotonic() - since < LIMIT_S, f"{begun} of {plan} epochs, and no more"
            time.sleep(0.1)
        time.sleep(random_.uniform(0, 1.5))
        # Either the whole tree at once, or the study alone: its trainings must notice.
        doomed = [run, *(run.children(recursive=True) if random_.random() < 0.5 else [])]
        for process in doomed:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert status_of(zygote) == -signal.SIGKILL
    begin(zygote)
    assert status_of(zygote) == 0, (tmp_path / "run.log").read_text()[-4000:]

    reports = study.data / "08_reporting", miniature.data / "08_reporting"
    one, other = ((report / "summary.csv").read_bytes() for report in reports)
    assert one == other
    costs = pd.concat(
        pd.read_csv(reports[0] / f"{model}_training_cost.csv") for model in ("teacher", "student")
    )
    assert costs["epochs"].eq(epochs).all()
    interval = miniature.protocol.checkpoint_every_epochs
    assert plan <= costs["epochs_trained"].sum() < plan + N_KILLS * interval
    assert costs["attempts"].sum() > len(TRAININGS), "no kill hit a training"
    assert sum(len(epochs_begun(folder)) for folder in folders) <= plan + N_KILLS * interval
