"""nnU-Net in processes of its own: its environment, output and memory stay there."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from multiprocessing.pool import ThreadPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import LifoQueue
from typing import Any, TypeVar

from coala_kedro.nnunet.settings import Compute
from coala_kedro.work import WorkStoppedError

Result = TypeVar("Result")
Slots = LifoQueue[ProcessPoolExecutor | None]

_SPAWN = multiprocessing.get_context("spawn")
_LAST_WORDS_S = 20
"""How long a training whose study is gone may take to write its checkpoint."""

_END_KNOWN_S = 5
_PR_SET_PDEATHSIG = 1  # prctl(2)

# Threads that ask at the same time must not make two of what a machine has once.
_CACHES = threading.Lock()
_stopping = threading.Event()


class NnunetProcessError(RuntimeError):
    """A process of nnU-Net died: killed, out of memory, or crashed."""


def in_own_process(compute: Compute, warm: bool, work: Callable[..., Result], *args: Any) -> Result:
    """Run `work(*args)` in a process of nnU-Net's own and wait for it.

    At most `compute.processes` are there at a time; callers in other threads wait for their turn.

    Args:
        compute: The machine.
        warm: Take a process that has served before and will serve again.
        work: A module-level function; it, its arguments and its result are pickled.
        args: For `work`.

    Raises:
        NnunetProcessError: The process died; what it wrote so far is kept.
        WorkStoppedError: The study was asked to stop.
        Exception: Whatever `work` raised.
    """
    with _CACHES:
        slots = _slots(compute)
    pool, keep, workers = slots.get(), False, []
    try:
        if _stopping.is_set():
            raise WorkStoppedError("The study was asked to stop: run the same command again.")
        if pool is not None and not (warm and _lives(pool)):
            pool.shutdown()  # a process that waits keeps its memory, also a GPU's
            pool = None
        pool = pool or _pool(compute)
        future = pool.submit(work, *args)
        workers = [*pool._processes.values()]
        keep = warm
        return future.result()
    except BrokenProcessPool:
        keep = False
        if _stopping.is_set():
            raise WorkStoppedError("A process of nnU-Net was asked to stop and did.") from None
        raise NnunetProcessError(
            f"A process of nnU-Net was killed or ran out of memory ({_end_of(workers)}). What it "
            "had finished is kept: free memory, then run the same command again."
        ) from None
    finally:
        if pool is not None and not keep:
            pool.shutdown()
        slots.put(pool if keep else None)


def stop_all() -> None:
    """Ask every process of nnU-Net to stop, and start no other; in the study's own process."""
    _stopping.set()
    for child in multiprocessing.active_children():
        child.terminate()


@functools.cache
def _slots(compute: Compute) -> Slots:
    """A place per process that may work; in it a warm process, if there is one."""
    slots: Slots = LifoQueue()
    for _ in range(compute.processes):
        slots.put(None)
    return slots


def _pool(compute: Compute) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, _SPAWN, initializer=_start, initargs=(compute,))


def _lives(pool: ProcessPoolExecutor) -> bool:
    """Whether its process was not killed while it waited; for want of memory, say."""
    return not connection.wait([w.sentinel for w in pool._processes.values()], timeout=0)


def _end_of(workers: Sequence[BaseProcess]) -> str:
    """How a process ended, as far as the system tells."""
    deadline = time.monotonic() + _END_KNOWN_S  # the pool's own thread waits for it too
    while not (codes := [worker.exitcode for worker in workers if worker.exitcode]):
        if time.monotonic() > deadline:
            return "it does not say why"
        time.sleep(0.02)
    return signal.Signals(-codes[0]).name if codes[0] < 0 else f"exit status {codes[0]}"


def _start(compute: Compute) -> None:
    """Prepare a fresh process: die with the parent, hear signals, limit threads."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    if sys.platform == "linux":
        # As when nnU-Net runs by itself; a process that was spawned would spawn its own.
        multiprocessing.set_start_method("fork", force=True)
        os.register_at_fork(before=_note_who_forks, after_in_child=_end_with_parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _hear)
    os.environ["nnUNet_n_proc_DA"] = str(compute.augmentation_workers)
    os.environ["nnUNet_def_n_proc"] = str(compute.pool_workers)
    os.environ["nnUNet_compile"] = "t" if choose_device(compute) == "cuda" else "f"
    # Two OpenMP teams that spin on two cores slow each other down twentyfold.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    # nnU-Net divides 0 by 0 for a structure that no batch of an epoch held, and leaves it out.
    warnings.filterwarnings("ignore", message="invalid value encountered in scalar divide")
    import torch

    torch.set_num_threads(compute.torch_threads)
    if compute.pool == "threads":
        multiprocessing.get_context = _thread_context


_asked_to_stop, _deaf = threading.Event(), threading.Event()
_deaf.set()


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Hear what would end this process at once, so that work can end between two steps.

    Yields:
        Whether a signal to stop (SIGTERM, Ctrl-C) has come, or the study is gone.
    """
    _asked_to_stop.clear()
    _deaf.clear()
    try:
        yield _asked_to_stop.is_set
    finally:
        _deaf.set()


def _hear(number: int, _: Any) -> None:
    _asked_to_stop.set()
    if _deaf.is_set():
        os._exit(128 + number)


def _follow_parent() -> None:
    """Leave when the study is killed, so that no orphan writes where the next run works."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    _asked_to_stop.set()
    _deaf.wait(_LAST_WORDS_S)
    os._exit(1)


_main_forks = False


def _note_who_forks() -> None:
    global _main_forks  # noqa: PLW0603
    _main_forks = threading.current_thread() is threading.main_thread()


def _end_with_parent() -> None:
    """In nnU-Net's augmentation workers: Linux ends them with the thread that forked them."""
    if _main_forks:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _ThreadContext:
    """What nnU-Net asks of a multiprocessing context, with threads for workers."""

    Pool = ThreadPool


def _thread_context(method: str | None = None) -> Any:
    return _ThreadContext() if method == "spawn" else _SPAWN


def choose_device(compute: Compute) -> str:
    """`cuda` or `cpu`."""
    if compute.device != "auto":
        return compute.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class _Log(io.FileIO):
    """A file that a full disk cuts short: a log must not end the work, nor hide why it ended."""

    def write(self, content: Any) -> int:
        """Write what can be written."""
        try:
            return super().write(content)
        except OSError:
            return len(content)


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append what nnU-Net prints to a file, and why it failed if it did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = io.BufferedWriter(_Log(path, "a"))
    with (
        io.TextIOWrapper(raw, encoding="utf-8", line_buffering=True) as file,
        contextlib.redirect_stdout(file),
    ):
        faulthandler.enable(file)  # a crash in native code leaves its stack there
        try:
            yield
        except BaseException:
            traceback.print_exc(file=file)
            raise
        finally:
            faulthandler.disable()
