import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import connection

import pytest
from own_processes import end_waiting, is_running

from coala_kedro import child_process, processes
from coala_kedro.models.parameters import Compute
from coala_kedro.nnunet.process import in_own_process
from coala_kedro.processes import ProcessDiedError, RunStoppedError

pytestmark = pytest.mark.slow

# Importing torch takes seconds, and a process of nnU-Net needs only this of it to start.
LIGHT_TORCH = """
from pathlib import Path
def set_num_threads(threads):
    Path(__file__).with_name("threads").write_text(str(threads))
"""


@pytest.fixture(autouse=True)
def light_torch(tmp_path, monkeypatch):
    folder = tmp_path / "light"
    folder.mkdir()
    (folder / "torch.py").write_text(LIGHT_TORCH)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    yield folder
    end_waiting()
    processes.start_again()


@pytest.fixture
def compute():
    return Compute(
        device="cpu", processes=1, torch_threads=3, augmentation_workers=0, pool="threads"
    )


def fail(message):
    raise LookupError(message)


def surroundings():
    os.environ["nnUNet_results"] = "/elsewhere"
    pool = multiprocessing.get_context("spawn").Pool
    names = ("nnUNet_n_proc_DA", "nnUNet_def_n_proc", "nnUNet_compile", "OMP_WAIT_POLICY")
    return {name: os.environ[name] for name in names}, pool.__name__


def nap(seconds):
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def in_threads(n, work, *args):
    results = []
    threads = [threading.Thread(target=lambda: results.append(work(*args))) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == n
    return results


@pytest.mark.parametrize("warm", [True, False])
def test_hands_back_results_and_exceptions(compute, warm):
    assert in_own_process(compute, warm, divmod, 17, 5) == (3, 2)
    with pytest.raises(LookupError, match="fold 7"):
        in_own_process(compute, warm, fail, "fold 7")
    assert in_own_process(compute, warm, divmod, 17, 4) == (4, 1)


def test_sets_up_the_process_and_leaves_ours_alone(compute, light_torch):
    before = dict(os.environ)
    context = multiprocessing.get_context
    names, pool = in_own_process(compute, True, surroundings)
    assert names == {
        "nnUNet_n_proc_DA": "0",
        "nnUNet_def_n_proc": str(compute.pool_workers),
        "nnUNet_compile": "f",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    assert pool == "ThreadPool"
    assert (light_torch / "threads").read_text() == "3"
    assert dict(os.environ) == before
    assert multiprocessing.get_context is context


def test_a_warm_process_serves_again_and_another_only_once(compute):
    warm = {in_own_process(compute, True, os.getpid) for _ in range(3)}
    fresh = {in_own_process(compute, False, os.getpid) for _ in range(2)}
    assert len(warm) == 1
    assert len(fresh) == 2
    assert os.getpid() not in warm | fresh
    assert not warm & fresh
    assert not any(is_running(pid) for pid in fresh)


@pytest.mark.parametrize("warm", [True, False])
def test_threads_take_turns_on_one_process(compute, warm):
    in_own_process(compute, True, os.getpid)
    spans = sorted(in_threads(3, in_own_process, compute, warm, nap, 0.2))
    for (_, ended), (began, _) in itertools.pairwise(spans):
        assert began >= ended


def test_threads_that_ask_first_at_the_same_time_share_the_processes(compute, monkeypatch):
    compute, made, make = compute.model_copy(update={"processes": 2}), [], processes._pool

    def make_slowly(*args):
        made.append(args)
        time.sleep(0.3)
        return make(*args)

    monkeypatch.setattr(processes, "_pool", make_slowly)
    assert len({*in_threads(4, in_own_process, compute, True, os.getpid)}) == len(made) <= 2


def test_two_processes_work_at_the_same_time(compute):
    compute = compute.model_copy(update={"processes": 2})
    one, other = in_threads(2, in_own_process, compute, True, nap, 2.0)
    assert max(one[0], other[0]) < min(one[1], other[1])


@pytest.mark.parametrize("warm", [True, False])
def test_says_what_to_do_when_the_process_is_killed_and_starts_another(compute, warm):
    known = {child.pid for child in multiprocessing.active_children()}
    threading.Timer(0.5, kill_when_started, [known]).start()
    with pytest.raises(ProcessDiedError, match=r"killed or ran out of memory.*run the same"):
        in_own_process(compute, warm, time.sleep, 60)
    assert in_own_process(compute, warm, divmod, 17, 5) == (3, 2)


def kill_when_started(known):
    while True:
        for child in multiprocessing.active_children():
            if child.pid not in known:
                os.kill(child.pid, signal.SIGKILL)
                return
        time.sleep(0.05)


def test_a_warm_process_that_was_killed_while_it_waited_is_replaced(compute):
    waiting = in_own_process(compute, True, os.getpid)
    (child,) = (each for each in multiprocessing.active_children() if each.pid == waiting)
    child.kill()
    connection.wait([child.sentinel])
    assert in_own_process(compute, True, os.getpid) != waiting


def test_a_process_that_dies_takes_no_other_with_it(compute):
    compute, ends = compute.model_copy(update={"processes": 2}), {}

    def work(name, *task):
        try:
            ends[name] = in_own_process(compute, True, *task)
        except ProcessDiedError as error:
            ends[name] = str(error)

    tasks = {"killed": (kill_itself,), "lives": (nap, 3.0)}
    threads = [threading.Thread(target=work, args=(name, *task)) for name, task in tasks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "killed or ran out of memory (SIGKILL)" in ends["killed"]
    assert ends["lives"][1] - ends["lives"][0] >= 3


def kill_itself():
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_waits_ends_after_a_while(compute, monkeypatch):
    monkeypatch.setattr(processes, "REST_S", 0.1)
    wait_for_the_end_of(in_own_process(compute, True, os.getpid))
    assert in_own_process(compute, True, divmod, 17, 5) == (3, 2)


def test_work_that_fails_leaves_no_process_behind(compute):
    before = in_own_process(compute, True, os.getpid)
    with pytest.raises(LookupError):
        in_own_process(compute, True, fail, "fold 7")
    assert not is_running(before)


def test_a_fresh_process_does_not_stand_beside_a_warm_one(compute):
    warm = in_own_process(compute, True, os.getpid)
    assert is_running(warm)
    in_own_process(compute, False, os.getpid)
    assert not is_running(warm)


def step_until_stopped(place):
    """Work in steps that ends in good order when it is asked to."""
    with child_process.stoppable() as asked_to_stop:
        place.write_text(str(os.getpid()))
        while not asked_to_stop():
            time.sleep(0.02)
    place.with_name("kept").write_text("what it did")
    raise RunStoppedError("stopped in good order")


def when_it_works(place, then, *args):
    def wait():
        while not (place.exists() and place.read_text()):
            time.sleep(0.02)
        then(*args or (int(place.read_text()), signal.SIGTERM))

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("warm", [True, False])
def test_work_that_is_asked_to_stop_ends_in_good_order(compute, tmp_path, warm):
    place = tmp_path / "works"
    asking = when_it_works(place, os.kill)
    with pytest.raises(RunStoppedError, match="in good order"):
        in_own_process(compute, warm, step_until_stopped, place)
    asking.join()
    assert (tmp_path / "kept").exists()
    assert in_own_process(compute, warm, divmod, 17, 5) == (3, 2)


def test_a_study_that_stops_stops_its_processes_and_starts_no_other(compute, tmp_path):
    place = tmp_path / "works"
    asking = when_it_works(place, lambda _, __: processes.stop_all())
    with pytest.raises(RunStoppedError, match="in good order"):
        in_own_process(compute, False, step_until_stopped, place)
    asking.join()
    with pytest.raises(RunStoppedError, match="run the same command again"):
        in_own_process(compute, False, divmod, 17, 5)


def fork_and_wait(place):
    """As nnU-Net's augmentation: a forked worker beside the training."""
    worker = multiprocessing.Process(target=time.sleep, args=(60,))
    worker.start()
    place.write_text(str(worker.pid))
    time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="forked workers are ended by Linux")
def test_forked_workers_end_with_their_training(compute, tmp_path):
    place, known = tmp_path / "works", {child.pid for child in multiprocessing.active_children()}
    killing = when_it_works(place, lambda _, __: kill_when_started(known))
    with pytest.raises(ProcessDiedError, match="SIGKILL"):
        in_own_process(compute, False, fork_and_wait, place)
    killing.join()
    wait_for_the_end_of(int(place.read_text()))


def test_ends_with_its_parent_however_that_ends(compute):
    code = (
        "import os, time\n"
        "from coala_kedro.nnunet.process import in_own_process\n"
        "from coala_kedro.models.parameters import Compute\n"
        f"compute = Compute.model_validate_json({compute.model_dump_json()!r})\n"
        "print(in_own_process(compute, True, os.getpid), flush=True)\n"
        "in_own_process(compute, True, time.sleep, 60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    worker = int(parent.stdout.readline())
    assert is_running(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_for_the_end_of(worker)


def wait_for_the_end_of(pid):
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline, "the process outlives its parent"
        time.sleep(0.05)
