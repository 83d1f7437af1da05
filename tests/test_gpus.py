"""GPUs for processes; only their number is made up."""

import itertools
import os
import signal
import threading
import time

import pytest
from own_processes import end_waiting, is_running

from coala_kedro import processes
from coala_kedro.processes import (
    ProcessDiedError,
    ProcessKind,
    RunStoppedError,
    in_own_process,
    visible_gpus,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_processes_of_other_tests(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    end_waiting()
    yield
    end_waiting()


def kind(tool, n_gpus, at_once=4):
    return ProcessKind(tool, at_once, "tiny", gpus=visible_gpus(lambda: n_gpus))


def gpu_and_time(seconds):
    began = time.monotonic()
    time.sleep(seconds)
    return os.environ["CUDA_VISIBLE_DEVICES"], began, time.monotonic()


def gpu_and_process():
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def at_the_same_time(*calls):
    results = []
    threads = [threading.Thread(target=lambda c=c: results.append(c[0](*c[1:]))) for c in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(calls)
    return results


def test_gpus_are_those_that_cuda_shows(monkeypatch):
    assert visible_gpus(lambda: 3) == ("0", "1", "2")
    assert visible_gpus(lambda: 0) == ()
    for named, gpus in {"2, GPU-8a": ("2", "GPU-8a"), "": (), "-1": ()}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert visible_gpus(lambda: 3) == gpus


def test_processes_of_all_kinds_have_a_gpu_each():
    calls = [
        (in_own_process, kind(tool, 2), warm, gpu_and_time, 0.5)
        for tool in ("nnU-Net", "TotalSegmentator")
        for warm in (True, False)
    ]
    pieces = at_the_same_time(*calls, *calls)
    assert {gpu for gpu, *_ in pieces} == {"0", "1"}
    for (gpu, began, ended), (other_gpu, other_began, other_ended) in itertools.combinations(
        pieces, 2
    ):
        at_once = began < other_ended and other_began < ended
        assert not at_once or gpu != other_gpu
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_no_more_processes_than_asked_for():
    one = kind("nnU-Net", n_gpus=4, at_once=1)
    spans = at_the_same_time(*[(in_own_process, one, True, gpu_and_time, 0.2)] * 3)
    spans.sort(key=lambda span: span[1])
    assert all(before[2] <= after[1] for before, after in itertools.pairwise(spans))
    assert {gpu for gpu, *_ in spans} == {"0"}


@pytest.mark.parametrize("warm", [True, False])
def test_a_process_that_dies_gives_its_gpu_back(warm):
    with pytest.raises(ProcessDiedError, match="SIGKILL"):
        in_own_process(kind("nnU-Net", 1), warm, kill_itself)
    for tool in ("TotalSegmentator", "nnU-Net"):
        assert in_own_process(kind(tool, 1), False, gpu_and_process)[0] == "0"


def test_a_process_that_waits_for_work_leaves_its_gpu_to_another_kind():
    (_, waits) = in_own_process(kind("TotalSegmentator", 1), True, gpu_and_process)
    assert is_running(waits)
    gpu, other = in_own_process(kind("nnU-Net", 1), True, gpu_and_process)
    assert gpu == "0"
    assert other != waits
    assert not is_running(waits)


def test_a_gpu_without_a_process_is_taken_before_that_of_one_that_waits():
    kept = in_own_process(kind("TotalSegmentator", 2), True, gpu_and_process)
    assert kept[0] == "0"
    assert in_own_process(kind("nnU-Net", 2), True, gpu_and_process)[0] == "1"
    assert in_own_process(kind("TotalSegmentator", 2), True, gpu_and_process) == kept


def test_a_run_that_goes_on_after_a_stop_has_all_gpus():
    taken = processes._slots.take(kind("nnU-Net", 1))  # the signal came before it was left
    processes.stop_all()
    processes.start_again()
    assert in_own_process(kind("nnU-Net", 1), False, gpu_and_process)[0] == "0"
    processes._slots.leave(taken)
    assert in_own_process(kind("nnU-Net", 1), False, gpu_and_process)[0] == "0"


def test_a_thread_that_a_stopped_run_has_left_starts_no_process():
    goes_on, refused = threading.Event(), []

    def scan_in_hand():
        goes_on.wait()
        try:
            in_own_process(kind("nnU-Net", 1), False, gpu_and_process)
        except RunStoppedError as error:
            refused.append(error)

    left = threading.Thread(target=scan_in_hand)
    left.start()
    processes.stop_all()
    processes.start_again()
    goes_on.set()
    left.join()
    assert refused
    assert at_the_same_time((in_own_process, kind("nnU-Net", 1), False, gpu_and_process))


def test_devices_of_totalsegmentator(monkeypatch):
    from coala_kedro.organs.totalsegmentator import _gpus  # not in every process of this module

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    devices = {name: _gpus(name) for name in ("cpu", "auto", "gpu", "gpu:1", "gpu:2")}
    assert devices == {"cpu": (), "auto": ("4", "7"), "gpu": ("4",), "gpu:1": ("7",), "gpu:2": ()}
