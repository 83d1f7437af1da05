"""nnU-Net's processes on this machine: their environment, threads and device."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from typing import Any, TypeVar

from coala_kedro import processes
from coala_kedro.models.parameters import Compute
from coala_kedro.processes import ProcessKind

Result = TypeVar("Result")

_SPAWN = multiprocessing.get_context("spawn")


def in_own_process(compute: Compute, warm: bool, work: Callable[..., Result], *args: Any) -> Result:
    """Run `work(*args)` in one of nnU-Net's processes, on a GPU that no other process has.

    At most `compute.processes` are there at a time, and no more than GPUs where there are some.

    Args:
        compute: The machine.
        warm: As of `processes.in_own_process`, like `work` and `args`, and what it raises.
        work: Likewise.
        args: Likewise.
    """
    gpus = () if compute.device == "cpu" else processes.visible_gpus()
    kind = ProcessKind("nnU-Net", compute.processes, compute, _prepare, gpus)
    return processes.in_own_process(kind, warm, work, *args)


def _prepare(compute: Compute) -> None:
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


class _ThreadContext:
    """What nnU-Net asks of a multiprocessing context, with threads for workers."""

    Pool = ThreadPool


def _thread_context(method: str | None = None) -> Any:
    return _ThreadContext() if method == "spawn" else _SPAWN


def choose_device(compute: Compute) -> str:
    """The device to compute on, `cuda` or `cpu`.

    Args:
        compute: Its `device` may be `auto`: a GPU if there is one.
    """
    if compute.device != "auto":
        return compute.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
