"""nnU-Net in processes of its own: its environment, output and memory stay there."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, TypeVar

from coala_kedro.nnunet.settings import Compute

Result = TypeVar("Result")

_SPAWN = multiprocessing.get_context("spawn")

# Threads that ask at the same time must not make two of what a machine has once.
_CACHES = threading.Lock()


class NnunetProcessError(RuntimeError):
    """A process of nnU-Net died: killed, out of memory, or crashed."""


def in_own_process(compute: Compute, warm: bool, work: Callable[..., Result], *args: Any) -> Result:
    """Run `work(*args)` in a process of nnU-Net's own and wait for it.

    At most `compute.processes` work at a time; callers in other threads wait for their turn.

    Args:
        compute: The machine.
        warm: Take a process that has served before and will serve again.
        work: A module-level function; it, its arguments and its result are pickled.
        args: For `work`.

    Raises:
        NnunetProcessError: The process died; what it wrote so far is kept.
        Exception: Whatever `work` raised.
    """
    with _CACHES:
        slots = _slots(compute)
    try:
        with slots:
            if warm:
                with _CACHES:
                    pool = _warm_pool(compute)
                return pool.submit(work, *args).result()
            with _pool(compute, 1) as pool:
                return pool.submit(work, *args).result()
    except BrokenProcessPool:
        if warm:
            _warm_pool.cache_clear()
        raise NnunetProcessError(
            "A process of nnU-Net was killed or ran out of memory. What it had finished is kept: "
            "free memory, then run the same command again."
        ) from None


@functools.cache
def _slots(compute: Compute) -> threading.Semaphore:
    return threading.Semaphore(compute.processes)


@functools.cache
def _warm_pool(compute: Compute) -> ProcessPoolExecutor:
    return _pool(compute, compute.processes)


def _pool(compute: Compute, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, _SPAWN, initializer=_start, initargs=(compute,))


def _start(compute: Compute) -> None:
    """Prepare a fresh process: die with the parent, limit threads, silence telemetry."""
    threading.Thread(target=_follow_parent, daemon=True).start()
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


def _follow_parent() -> None:
    """Leave when the study is killed, so that no orphan writes where the next run works."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


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


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append what nnU-Net prints to a file; progress bars stay on the console."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", buffering=1) as file, contextlib.redirect_stdout(file):
        yield
