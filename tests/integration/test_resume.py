"""Studies that are killed, and started again by the same command."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import SimpleITK as sitk
from mlflow import MlflowClient

from coala_kedro.processes import ProcessDiedError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

EPOCHS = [0, 1, 2]
LIMIT_S = 600
TRAINING = "spawn_main"


@contextlib.contextmanager
def killed_in_the_second_epoch(folder):
    """A monitor that kills the training's process between two steps; it runs in that process."""
    from coala_kedro.nnunet.trainer import FoldTrainer

    step, steps = FoldTrainer.train_step, []

    def watched_step(trainer, batch):
        if trainer.current_epoch == 1:
            steps.append(step(trainer, batch))
            if len(steps) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return steps[-1]
        return step(trainer, batch)

    with mock.patch.object(FoldTrainer, "train_step", watched_step):
        yield lambda epoch, figures: None


@contextlib.contextmanager
def killed_in_the_final_validation(folder):
    """A monitor that kills it as it predicts the first validation scan."""
    from coala_kedro.nnunet.predictor import FoldsPredictor

    def predict(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch.object(FoldsPredictor, "slabs", predict):
        yield lambda epoch, figures: None


def losses(folder):
    log = "".join(path.read_text() for path in sorted(folder.glob("training_log_*.txt")))
    found = re.findall(r"(?:train_loss|val_loss|Pseudo dice) (.+)", log)
    assert len(found) == 3 * len(EPOCHS)
    return found


def validated(folder):
    files = sorted((folder / "validation").glob("*.nii.gz"))
    assert files
    return {file.name: sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in files}


def same_validation(one, other):
    one, other = validated(one), validated(other)
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_a_fold_trained_twice_is_the_same(miniature, fold_folder_of, same_weights):
    fold_folder = fold_folder_of("lowres")
    first = miniature.fold_folder("teacher", "lowres", 0)
    miniature.train(fold_folder)
    assert losses(fold_folder) == losses(first)
    assert same_weights(fold_folder, first)
    assert not same_weights(fold_folder, miniature.fold_folder("teacher", "lowres", 1))


@pytest.mark.parametrize("stage", ["lowres", "cascade"])
def test_a_training_killed_in_an_epoch_ends_like_one_that_was_not(
    miniature, fold_folder_of, same_weights, epochs_begun, stage
):
    fold_folder, never_killed = fold_folder_of(stage), miniature.fold_folder("teacher", stage, 0)
    assert epochs_begun(never_killed) == EPOCHS
    with pytest.raises(ProcessDiedError, match="run the same command again"):
        miniature.train(fold_folder, stage, killed_in_the_second_epoch)
    assert epochs_begun(fold_folder) == [0, 1]
    assert not (fold_folder / "checkpoint_final.pth").exists()
    miniature.train(fold_folder, stage)
    assert epochs_begun(fold_folder) == [0, 1, 1, 2]
    assert same_weights(fold_folder, never_killed)
    assert same_validation(fold_folder, never_killed)
    assert not [*fold_folder.glob("*.partial")]


def test_a_training_killed_in_its_validation_is_only_validated_again(
    miniature, fold_folder_of, epochs_begun
):
    folder, never_killed = fold_folder_of("lowres"), miniature.fold_folder("teacher", "lowres", 0)
    with pytest.raises(ProcessDiedError, match=r"lowres fold 0: .*SIGKILL.*Log: .*console\.log"):
        miniature.train(folder, "lowres", killed_in_the_final_validation)
    final = folder / "checkpoint_final.pth"
    trained_at = final.stat().st_mtime_ns
    assert not [*folder.glob("validation/*.nii.gz")]
    miniature.train(folder)
    assert epochs_begun(folder) == EPOCHS
    assert final.stat().st_mtime_ns == trained_at
    assert same_validation(folder, never_killed)


@pytest.fixture
def untrained(miniature, tmp_path):
    """The study before its teacher was trained."""
    return miniature.copy(tmp_path / "data", "05_model_input/teacher")


def descendants(pid):
    """Processes below one, with what they run; they may end while they are looked at."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children = ""
        with contextlib.suppress(OSError):
            children = task.read_text()
        for child in map(int, children.split()):
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_text()
            found |= descendants(child)
    return found


def trainings_under(pid):
    return [child for child, command in descendants(pid).items() if TRAINING in command]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, what, limit_s=LIMIT_S):
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + limit_s
    while not (given := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return given


def nodes(*folds):
    return "--nodes", ",".join(f"teacher.fold_{k}.train_lowres" for k in folds)


def test_a_killed_study_leaves_no_process_and_goes_on(
    untrained, miniature, same_weights, epochs_begun, tmp_path
):
    folders = {k: untrained.fold_folder("teacher", "lowres", k) for k in (0, 1)}
    study = untrained.start(*nodes(*folders), log=tmp_path / "killed.log")

    def both_train():
        begun = [epochs_begun(folder) for folder in folders.values()]
        assert study.poll() is None, (tmp_path / "killed.log").read_text()[-4000:]
        return all(begun) and any(len(epochs) > 1 for epochs in begun)

    wait_until(both_train, "no training begins")
    below = descendants(study.pid)
    assert len(trainings_under(study.pid)) == 2
    study.kill()
    study.wait()
    wait_until(lambda: not any(map(is_running, below)), "a process outlives the study", limit_s=10)
    unfinished = [k for k, folder in folders.items() if not (folder / ".complete.json").exists()]
    assert unfinished, "the study was killed too late"

    log = untrained.run(*nodes(*folders), log=tmp_path / "again.log")
    assert log.count(" made in ") == len(unfinished)
    for k, folder in folders.items():
        untouched = miniature.fold_folder("teacher", "lowres", k)
        assert same_weights(folder, untouched)
        assert same_validation(folder, untouched)
        # At most the epoch it was killed in is begun twice.
        assert sorted({*epochs_begun(folder)}) == EPOCHS
        assert len(epochs_begun(folder)) <= len(EPOCHS) + 1


def test_a_study_whose_training_is_killed_says_so_and_goes_on(
    untrained, miniature, same_weights, epochs_begun, tmp_path
):
    folder, log = untrained.fold_folder("teacher", "lowres", 2), tmp_path / "killed.log"
    study = untrained.start(*nodes(2), log=log)
    wait_until(lambda: 1 in epochs_begun(folder) or study.poll() is not None, "no epoch ends")
    (training,) = trainings_under(study.pid)
    os.kill(training, signal.SIGKILL)
    assert study.wait(LIMIT_S) != 0
    assert re.search(r"was killed or ran out of memory.*run the same command", log.read_text())
    assert not (folder / ".complete.json").exists()
    before = runs(untrained)
    assert [run.info.status for run in before[0]][-1] == "FAILED"
    (failed,) = [run for run in before[1] if run.info.status == "FAILED"]

    again = untrained.run(*nodes(2), log=tmp_path / "again.log")
    assert again.count(" made in ") == 1
    assert same_weights(folder, miniature.fold_folder("teacher", "lowres", 2))
    # One run a training, below the last `kedro run`, with curves that go on.
    studies, trainings = runs(untrained)
    assert len(trainings) == len(before[1])
    (training,) = [run for run in trainings if run.info.run_id == failed.info.run_id]
    assert [training.info.status, studies[-1].info.status] == ["FINISHED", "FINISHED"]
    assert training.data.tags["mlflow.parentRunId"] == studies[-1].info.run_id
    assert training.data.tags["study"] == studies[-1].data.tags["study"] == "demo"
    history = MlflowClient(untrained.tracking).get_metric_history(failed.info.run_id, "train_loss")
    assert [metric.step for metric in history] == EPOCHS


def runs(study):
    """Every `kedro run` in MLflow by age, and every training."""
    client = MlflowClient(study.tracking)
    experiment = client.get_experiment_by_name("coala_kedro").experiment_id
    found = client.search_runs([experiment], order_by=["attributes.start_time"])
    trainings = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    return [run for run in found if run not in trainings], trainings
