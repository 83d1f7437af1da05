"""Two runs at once in one folder."""

import errno
import fcntl
import functools
import multiprocessing
import os
import signal
import time
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DatasetError

from coala_kedro.datasets import (
    MadeFolderDataset,
    RecordFolderDataset,
    VolumeFolderDataset,
    made_folder,
    volume_folder,
)
from coala_kedro.locking import alone_in

pytestmark = pytest.mark.slow

FORK = multiprocessing.get_context("fork")


class Calls:
    """Counts what is made over processes; no part of a recipe's fingerprint."""

    fingerprint = ""

    def __init__(self):
        self.made = FORK.Value("i", 0)

    def add(self):
        with self.made.get_lock():
            self.made.value += 1


def volume(calls, seed):
    calls.add()
    time.sleep(0.02)
    voxels = np.random.default_rng(seed).integers(-1000, 1000, (4, 20, 20), np.int16)
    return sitk.GetImageFromArray(voxels)


def record(calls, seed):
    calls.add()
    time.sleep(0.02)
    return {"seed": seed}


def fill(folder, calls):
    calls.add()
    time.sleep(0.1)
    (folder / "made").write_text("whole")


def save(dataset, data, start, said):
    start.wait()
    try:
        dataset.save(data)
        said.put("")
    except Exception as error:
        said.put(str(error))


def two_runs(dataset, data):
    start, said = FORK.Barrier(2), FORK.Queue()
    both = [FORK.Process(target=save, args=(dataset, data, start, said)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    return [said.get(timeout=10) for _ in both]


def recipes(make, calls):
    return {f"s{k}": partial(make, calls, k) for k in range(5)}


@pytest.mark.parametrize(
    ("kind", "make"), [(VolumeFolderDataset, volume), (RecordFolderDataset, record)]
)
def test_two_runs_make_everything_once(tmp_path, kind, make):
    calls, dataset = Calls(), kind(path=str(tmp_path / "internal" / "made"), n_jobs=2)
    assert two_runs(dataset, recipes(make, calls)) == ["", ""]
    assert calls.made.value == 5
    assert list(dataset.load()) == [f"s{k}" for k in range(5)]
    assert not list(tmp_path.rglob(".partial-*"))


def test_two_runs_fill_a_folder_once(tmp_path):
    calls, dataset = Calls(), MadeFolderDataset(path=str(tmp_path / "nnunet"))
    assert two_runs(dataset, partial(fill, calls=calls)) == ["", ""]
    assert calls.made.value == 1
    assert dataset.exists()
    assert not (tmp_path / "superseded").exists()


def stay(folder, lock, inside):
    with alone_in(folder, lock=lock):
        inside.set()
        time.sleep(60)


@pytest.fixture
def somebody_in(tmp_path):
    """Another process in a folder."""
    processes = []

    def enter(folder, lock=None):
        inside = FORK.Event()
        process = FORK.Process(target=stay, args=(folder, lock, inside))
        process.start()
        processes.append(process)
        assert inside.wait(30)
        return process.pid

    yield enter
    for process in processes:
        process.kill()
        process.join()


def test_a_second_run_says_who_is_in_the_folder(tmp_path, somebody_in, monkeypatch, caplog):
    monkeypatch.setattr(volume_folder, "alone_in", functools.partial(alone_in, patience_s=0.5))
    monkeypatch.setattr(made_folder, "alone_in", functools.partial(alone_in, patience_s=0.5))
    caplog.set_level("INFO")
    calls = Calls()
    pid = somebody_in(tmp_path / "masks")
    with pytest.raises(DatasetError, match=rf"masks is in use by process {pid} on .*: wait until"):
        VolumeFolderDataset(path=str(tmp_path / "masks")).save(recipes(volume, calls))
    assert f"in use by process {pid}" in caplog.text
    assert "waiting for it" in caplog.text
    pid = somebody_in(tmp_path / "fold_0", tmp_path / ".fold_0.lock")
    with pytest.raises(DatasetError, match=rf"fold_0 is in use by process {pid} on"):
        MadeFolderDataset(path=str(tmp_path / "fold_0")).save(partial(fill, calls=calls))
    assert calls.made.value == 0


def test_the_folder_of_a_killed_run_is_free(tmp_path, somebody_in):
    os.kill(somebody_in(tmp_path / "masks"), signal.SIGKILL)
    dataset = VolumeFolderDataset(path=str(tmp_path / "masks"))
    dataset.save(recipes(volume, Calls()))
    assert str(os.getpid()) in (tmp_path / "masks" / ".lock").read_text()


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    folder = tmp_path / "masks"
    (folder / "reader_1").mkdir(parents=True)
    (folder / ".made").mkdir()
    for left in (".partial-s1.nii.gz", "reader_1/.partial-0a1b2c3d-s2.nii.gz",
                 ".made/.partial-0a1b2c3d-s3.json"):  # fmt: skip
        (folder / left).write_bytes(b"half")
    dataset = VolumeFolderDataset(path=str(folder))
    dataset.save(recipes(volume, Calls()))
    assert not list(folder.rglob(".partial-*"))
    assert list(dataset.load()) == [f"s{k}" for k in range(5)]


def test_runs_whose_folder_knows_no_locks_spoil_nothing(tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(volume_folder, "remove_partial", lambda folder: None)
    for k in range(3):
        dataset = VolumeFolderDataset(path=str(tmp_path / str(k)))
        assert two_runs(dataset, recipes(volume, Calls())) == ["", ""]
        for n, loaded in enumerate(dataset.load().values()):
            assert sitk.Hash(loaded()) == sitk.Hash(volume(Calls(), n))
