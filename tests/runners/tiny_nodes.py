"""Nodes for clusters: workers import them."""

import contextlib
import multiprocessing
import os
import time
from functools import partial
from pathlib import Path

import psutil
from distributed import get_worker

LIMIT_S = 120
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


def at_work_until(files, *_):
    """As `where_and_when`, at work until the files exist that others write."""
    begun = time.time()
    while not all(map(os.path.exists, files)):
        if time.time() - begun > LIMIT_S:
            raise TimeoutError(f"nobody has written all of {files}")
        time.sleep(0.05)
    return where_and_when(0) | {"begun": begun}


def meet(folder, n, *_):
    """As `where_and_when`, at work until so many are at work with it."""
    places = [Path(folder, f"{k}.txt") for k in range(n)]
    for place in places:
        with contextlib.suppress(FileExistsError):
            place.touch(exist_ok=False)
            break
    return at_work_until(places)


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
