"""Nodes for clusters: workers import them."""

import multiprocessing
import os
import time
from functools import partial
from pathlib import Path

import psutil
from distributed import get_worker

_OF_DASK = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def where_and_when(seconds, *_):
    """Which worker and GPU a piece of work had, and from when to when."""
    begun = time.time()
    time.sleep(seconds)
    return {
        "worker": get_worker().address,
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "of_dask": [name for name in _OF_DASK if name in os.environ],
        "begun": begun,
        "ended": time.time(),
    }


def records(seconds, n_scans):
    """A recipe per scan."""
    return {f"scan_{n}": partial(where_and_when, seconds, n) for n in range(n_scans)}


def fail(_):
    raise ArithmeticError("the loss is not finite")


def die(_):
    os._exit(1)


def listening(_):
    """At which addresses this run's processes can be reached."""
    run = psutil.Process(os.getppid())
    return sorted(
        {
            connection.laddr.ip
            for process in (run, *run.children(recursive=True))
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
    )


def train_for_long(begun):
    """Starts a process, as trainings do, says so by a file, and waits for it."""
    training = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(300,))
    training.start()
    Path(begun).touch()
    training.join()
