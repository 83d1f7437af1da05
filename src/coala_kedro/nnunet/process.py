"""nnU-Net's processes on this machine: their environment, threads and device."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import warnings
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from typing import Any, TypeVar

from coala_kedro import processes
from coala_kedro.models.parameters import Compute
from coala_kedro.processes import ProcessKind

Result = TypeVar("Result")

_COMPILERS = ("cc", "gcc", "clang")
_LEAST_CAPABILITY = (7, 0)
"""Of a card that `torch.compile` makes code for: Triton knows none before Volta."""

_SPAWN = multiprocessing.get_context("spawn")


class DeviceError(RuntimeError):
    """There is a GPU, and it cannot be used; the message says why."""


def in_own_process(compute: Compute, warm: bool, work: Callable[..., Result], *args: Any) -> Result:
    """Run `work(*args)` in one of nnU-Net's processes, on a GPU that no other process has.

    At most `compute.processes` are there at a time, and no more than GPUs where there are some.

    Args:
        compute: The machine.
        warm: As of `processes.in_own_process`, like `work` and `args`, and what it raises.
        work: Likewise.
        args: Likewise.

    Raises:
        DeviceError: There is no GPU that can be used.
    """
    # Here, for a process that cannot begin cannot say why.
    gpus = processes.visible_gpus() if choose_device(compute) == "cuda" else ()
    kind = ProcessKind("nnU-Net", compute.processes, compute, _prepare, gpus)
    return processes.in_own_process(kind, warm, work, *args)


def _prepare(compute: Compute) -> None:
    os.environ["nnUNet_n_proc_DA"] = str(compute.augmentation_workers)
    os.environ["nnUNet_def_n_proc"] = str(compute.pool_workers)
    device = choose_device(compute)
    os.environ["nnUNet_compile"] = "t" if compiles(compute, device) else "f"
    # Two OpenMP teams that spin on two cores slow each other down twentyfold.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    # nnU-Net divides 0 by 0 for a structure that no batch of an epoch held, and leaves it out.
    warnings.filterwarnings("ignore", message="invalid value encountered in scalar divide")
    import torch

    torch.set_num_threads(compute.torch_threads)
    if device == "cuda":
        torch.backends.cudnn.benchmark = True  # as nnU-Net's own commands do
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

    Raises:
        DeviceError: This machine has a GPU that torch cannot use: a CPU would take weeks.
    """
    if compute.device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if compute.device == "auto" and not processes.visible_gpus(_installed_gpus):
        return "cpu"
    try:
        torch.cuda.init()
        reason = "torch gives no reason"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
    raise DeviceError(
        f"There is no GPU that torch {torch.__version__} can use ({reason}). Install a build of "
        "torch that suits the driver (nvidia-smi tells its CUDA version), or set compute.device "
        "to cpu."
    )


def _installed_gpus() -> int:
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:  # no driver, so no GPU to compute on
        return 0


def compiles(compute: Compute, device: str) -> bool:
    """Whether networks are compiled: on a GPU, as in stock nnU-Net, where that can be done.

    Args:
        compute: Its `compile`; under `auto` the user's `nnUNet_compile` decides, if it is set.
        device: `cuda` or `cpu`.
    """
    if compute.compile != "auto":
        return compute.compile == "on"
    if wanted := os.environ.get("nnUNet_compile"):
        return wanted.lower() in ("true", "1", "t")
    if device != "cuda":
        return False
    import torch

    compilers = [os.environ["CC"]] if os.environ.get("CC") else _COMPILERS
    has_compiler = any(map(shutil.which, compilers))
    return has_compiler and torch.cuda.get_device_capability() >= _LEAST_CAPABILITY
