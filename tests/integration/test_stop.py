"""Trainings that are stopped, run into NaN, a full disk or damaged files, and go on."""

import collections
import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import threading
import time
from unittest import mock

import psutil
import pytest
import torch
from mlflow import MlflowClient

from coala_kedro.locking import alone_in
from coala_kedro.nnunet.checkpoints import CheckpointError
from coala_kedro.nnunet.guards import GuardError, LossNotFiniteError
from coala_kedro.processes import RunStoppedError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

ROOM_BYTES = 64_000
"""Left on a full disk: enough for a record, too little for a checkpoint."""


def in_step(epoch, step, then):
    """A monitor that calls `then(batch)` before a step of an epoch, in each try at it."""

    @contextlib.contextmanager
    def monitor(folder):
        from coala_kedro.nnunet.trainer import FoldTrainer

        take, steps = FoldTrainer.train_step, collections.Counter()

        def train_step(trainer, batch):
            if trainer.current_epoch == epoch:
                steps[trainer] += 1
                if steps[trainer] == step:
                    then(batch)
            return take(trainer, batch)

        with mock.patch.object(FoldTrainer, "train_step", train_step):
            yield lambda epoch, figures: None

    return monitor


# Monitors are pickled by name.
@contextlib.contextmanager
def asked_to_stop_in_the_second_epoch(folder):
    with in_step(1, 3, lambda batch: os.kill(os.getpid(), signal.SIGTERM))(folder) as report:
        yield report


@contextlib.contextmanager
def poisoned_always(folder):
    with in_step(1, 3, poison)(folder) as report:
        yield report


@contextlib.contextmanager
def poisoned_once(folder):
    doses = [poison]
    with in_step(1, 3, lambda batch: doses and doses.pop()(batch))(folder) as report:
        yield report


@contextlib.contextmanager
def disk_full_after_the_second_epoch(folder):
    def report(epoch, figures):
        if epoch == 1:
            free = os.statvfs(folder)
            with (folder.parents[3] / "filler").open("wb") as file:
                file.write(bytes(free.f_bavail * free.f_frsize - ROOM_BYTES))

    yield report


@contextlib.contextmanager
def asked_to_stop_once_it_is_trained(folder):
    def report(epoch, figures):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    yield report


def poison(batch):
    batch["data"][0, 0, 0] = float("nan")


def attempts(folder):
    return json.loads((folder / "training.json").read_text())["attempts"]


def weights(folder, name):
    return torch.load(folder / name, map_location="cpu", weights_only=False)


@pytest.mark.parametrize("stage", ["lowres", "cascade"])
def test_a_training_that_is_stopped_ends_like_one_that_was_not(
    miniature, fold_folder_of, same_weights, epochs_begun, stage
):
    folder = fold_folder_of(stage)
    # No checkpoint but those of the stops.
    protocol = miniature.protocol.model_copy(update={"checkpoint_every_epochs": 50})
    over = miniature.compute.model_copy(update={"max_hours": 1e-6})
    with pytest.raises(RunStoppedError, match=r"max_hours, 1e-06, are over.*run the same command"):
        miniature.train(folder, stage, protocol=protocol, compute=over)
    with pytest.raises(RunStoppedError, match=rf"teacher {stage} fold 0: stopped in epoch 1 of 3"):
        miniature.train(folder, stage, asked_to_stop_in_the_second_epoch, protocol=protocol)
    miniature.train(folder, stage, protocol=protocol)
    assert epochs_begun(folder) == [0, 0, 1, 1, 2]
    assert same_weights(folder, miniature.fold_folder("teacher", stage, 0))
    assert [attempt["status"] for attempt in attempts(folder)] == ["stopped", "stopped", "finished"]
    assert [len(attempt["epochs"]) for attempt in attempts(folder)] == [0, 1, 2]
    assert not [*folder.glob("checkpoint_latest*"), *folder.glob("checkpoint_previous*")]


def test_a_final_validation_that_is_stopped_goes_on_with_the_scans_that_are_left(
    miniature, fold_folder_of, epochs_begun
):
    folder, never_stopped = fold_folder_of("lowres"), miniature.fold_folder("teacher", "lowres", 0)
    with pytest.raises(RunStoppedError, match=r"in its final validation \(it was asked to stop\)"):
        miniature.train(folder, "lowres", asked_to_stop_once_it_is_trained)
    assert (folder / "checkpoint_final.pth").is_file()
    assert not [*(folder / "validation").glob("*")]
    over = miniature.compute.model_copy(update={"max_hours": 1e-6})
    with pytest.raises(RunStoppedError, match=r"final validation \(compute.max_hours, 1e-06, are"):
        miniature.train(folder, compute=over)
    miniature.train(folder)
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    expected = json.loads((never_stopped / "validation" / "summary.json").read_text())
    assert summary["mean"] == expected["mean"]

    label_maps = sorted((folder / "validation").glob("*.nii.gz"))
    assert len(label_maps) == len(miniature.folds("teacher")[0].validation)
    written_at = [file.stat().st_mtime_ns for file in label_maps]
    os.truncate(label_maps[0], label_maps[0].stat().st_size - 9)
    miniature.train(folder)
    again = [file.stat().st_mtime_ns for file in label_maps]
    assert again[0] > written_at[0]
    assert again[1:] == written_at[1:]
    assert epochs_begun(folder) == [0, 1, 2]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    miniature, fold_folder_of, same_weights, epochs_begun
):
    folder = fold_folder_of("lowres")
    with pytest.raises(RunStoppedError):
        miniature.train(folder, "lowres", asked_to_stop_in_the_second_epoch)
    latest = folder / "checkpoint_latest.pth"
    os.truncate(latest, latest.stat().st_size // 2)
    miniature.train(folder)
    assert epochs_begun(folder) == [0, 1, 1, 2]
    assert "checkpoint_latest.pth cannot be read" in (folder / "console.log").read_text()
    assert same_weights(folder, miniature.fold_folder("teacher", "lowres", 0))


def test_a_poisoned_batch_stops_the_fold_with_the_names_of_its_scans(
    miniature, fold_folder_of, epochs_begun
):
    folder = fold_folder_of("lowres")
    with pytest.raises(LossNotFiniteError, match="The loss is nan in epoch 1") as error:
        miniature.train(folder, "lowres", poisoned_always)
    named = re.search(r"batch of the scans ([\w, ]+):", str(error.value)).group(1).split(", ")
    assert set(named) <= set(miniature.folds("teacher")[0].train)
    assert epochs_begun(folder) == [0, 1, 1], "once more from the last checkpoint, then no more"
    assert attempts(folder)[-1]["status"] == "failed"
    kept = weights(folder, "checkpoint_latest.pth")
    assert kept["current_epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in kept["network_weights"].values())


def test_a_batch_that_was_poisoned_once_changes_nothing(
    miniature, fold_folder_of, same_weights, epochs_begun
):
    folder = fold_folder_of("lowres")
    miniature.train(folder, "lowres", poisoned_once)
    assert epochs_begun(folder) == [0, 1, 1, 2]
    assert same_weights(folder, miniature.fold_folder("teacher", "lowres", 0))


def test_a_study_that_is_asked_to_stop_does_so_and_goes_on(miniature, epochs_begun, tmp_path):
    study = miniature.copy(tmp_path / "data", "05_model_input/teacher")
    study = dataclasses.replace(study, changed={"protocol.iterations_per_epoch": 60})
    folder, log = study.fold_folder("teacher", "lowres", 1), tmp_path / "stopped.log"
    nodes = ("--nodes", "teacher.fold_1.train_lowres")
    run = study.start(*nodes, log=log)
    while 1 not in epochs_begun(folder):
        assert run.poll() is None, log.read_text()[-4000:]
        time.sleep(0.01)
    children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGTERM)
    assert run.wait(300) == 1
    _, left = psutil.wait_procs(children, timeout=60)  # they end with it, not before
    assert not left
    assert re.search(r"SIGTERM: the run was asked to stop.*run the same command", log.read_text())
    assert [attempt["status"] for attempt in attempts(folder)] == ["stopped"]
    training = json.loads((folder / "mlflow_run.json").read_text())["run_id"]
    client = MlflowClient(study.tracking)
    assert client.get_run(training).info.status == "KILLED"

    study.run(*nodes, log=tmp_path / "again.log")
    begun = epochs_begun(folder)
    assert [epoch for k, epoch in enumerate(begun) if epoch not in begun[:k]] == [0, 1, 2]
    assert len(begun) == 4, "the epoch it was stopped in, and no other, is begun twice"
    assert client.get_run(training).info.status == "FINISHED"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 32 MB."""
    place = tmp_path / "small_disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: it takes root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_during_a_checkpoint_leaves_the_one_before(
    miniature, small_disk, same_weights, epochs_begun
):
    never_stopped = miniature.fold_folder("teacher", "lowres", 0)
    folder = small_disk.joinpath("teacher", *never_stopped.parts[-3:])
    with pytest.raises(
        CheckpointError, match=r"fold 0: .*full: a checkpoint needs .* MB and 0.1 MB"
    ):
        miniature.train(folder, "lowres", disk_full_after_the_second_epoch)
    assert weights(folder, "checkpoint_latest.pth")["current_epoch"] == 1
    assert not [*folder.glob("*.partial")]
    (small_disk / "filler").unlink()
    miniature.train(folder)
    assert epochs_begun(folder) == [0, 1, 1, 2]
    assert same_weights(folder, never_stopped)


def test_a_training_waits_until_it_is_alone_in_its_folder(miniature, fold_folder_of):
    folder, left = fold_folder_of("lowres"), []

    def stay_a_while():
        with alone_in(folder):
            inside.set()
            time.sleep(2)
            left.append(time.time())

    inside = threading.Event()
    other = threading.Thread(target=stay_a_while)
    other.start()
    inside.wait()
    miniature.train(folder)
    other.join()
    (log,) = folder.glob("training_log_*.txt")
    assert left[0] <= min(path.stat().st_ctime for path in (log, folder / "training.json"))


@pytest.mark.parametrize("fault", ["absent", "another training's"])
def test_a_cascade_fold_wants_what_its_lowres_folds_wrote(miniature, fold_folder_of, fault):
    folder = fold_folder_of("cascade")
    place = fold_folder_of("lowres").parent / "predicted_next_stage" / "3d_cascade_fullres"
    scan = miniature.folds("teacher")[3].validation[0]
    if fault == "absent":
        (place / f"{scan}.b2nd").unlink()
    else:
        (place / f"{scan}.b2nd").write_bytes((place / "INT002_pre.b2nd").read_bytes() + b" ")
    with pytest.raises(GuardError, match=rf"predictions of {scan} in .*\.complete\.json"):
        miniature.train(folder, "cascade")
    assert not [*folder.glob("training_log_*")]
