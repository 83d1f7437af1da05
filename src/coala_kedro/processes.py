"""Heavy work in processes of its own, and a GPU for each of them where there are GPUs.

nnU-Net and TotalSegmentator set `nnUNet_*` in the environment, replace functions of libraries, and
hold memory, a GPU's too, until their process ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar
from weakref import WeakSet

from coala_kedro import child_process

Result = TypeVar("Result")

REST_S = 60.0
"""A process ends after this time without work: it holds memory that others may want."""

_SPAWN = multiprocessing.get_context("spawn")
_stopping = threading.Event()
_stopped: WeakSet[threading.Thread] = WeakSet()
"""Threads that a stopped run left at work on a scan: they start no more processes."""


class RunStoppedError(RuntimeError):
    """Work was asked to stop and has kept what it did; the same command goes on from there."""


class ProcessDiedError(RuntimeError):
    """A process died: killed, out of memory, or crashed."""


@dataclass(frozen=True)
class ProcessKind:
    """Processes that are alike and serve the same callers.

    Attributes:
        tool: What runs in them, for messages.
        at_once: How many there are at most.
        settings: Those with other settings are another kind.
        prepare: A module-level function that a new process calls with the settings first.
        gpus: The GPUs that they may use, as `visible_gpus` names them. Each process has one that no
            other process has, of whatever kind, so there are no more processes than GPUs. Empty for
            work on the CPU.
    """

    tool: str
    at_once: int
    settings: Hashable
    prepare: Callable[[Any], None] | None = None
    gpus: tuple[str, ...] = ()


def visible_gpus(count: Callable[[], int] | None = None) -> tuple[str, ...]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    Args:
        count: How many there are where that variable is not set; None asks torch.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(gpu.strip() for gpu in named.split(",") if gpu.strip() not in ("", "-1"))
    if count is None:
        import torch

        count = torch.cuda.device_count
    return tuple(str(k) for k in range(count()))


def in_own_process(
    kind: ProcessKind, warm: bool, work: Callable[..., Result], *args: Any
) -> Result:
    """Run `work(*args)` in a process of its own and wait for it.

    At most `kind.at_once` are there at a time, and no more than there are GPUs for them; callers in
    other threads wait for their turn.

    Args:
        kind: Of the process.
        warm: Take a process that has served before and, unless the work fails, will serve again.
        work: A module-level function; it, its arguments and its result are pickled.
        args: For `work`.

    Raises:
        ProcessDiedError: The process died; what it wrote so far is kept.
        RunStoppedError: The study was asked to stop.
        Exception: Whatever `work` raised.
    """
    slot = _slots.take(kind)
    try:
        return slot.run(warm, work, *args)
    finally:
        _slots.leave(slot)


def stop_all() -> None:
    """Ask every process to stop, and start no other until `start_again`; in the study's process."""
    _stopping.set()
    for child in multiprocessing.active_children():
        child.terminate()


def start_again() -> None:
    """Let processes start again, once the run that was stopped has ended."""
    if _stopping.is_set():
        _stopped.update(each for each in threading.enumerate() if each != threading.main_thread())
        _slots.forget()  # the signal may have come between a slot's taking and its leaving
        _stopping.clear()


def _is_stopped() -> bool:
    return _stopping.is_set() or threading.current_thread() in _stopped


class _Slot:
    """A place for one process, which may wait there for more work, and the GPU that it has."""

    def __init__(self, kind: ProcessKind, gpu: str | None) -> None:
        self.kind = kind
        self.gpu = gpu
        self.busy = True
        self.pool: ProcessPoolExecutor | None = None
        self.rest = threading.Timer(REST_S, self.end)

    def run(self, warm: bool, work: Callable[..., Result], *args: Any) -> Result:
        """Run work in the process that waits, or in a new one; see `in_own_process`."""
        if _is_stopped():
            raise RunStoppedError("The study was asked to stop: run the same command again.")
        future: Future[Result] | None = None
        workers: list[BaseProcess] = []
        try:
            pool = self._process(warm)
            future = pool.submit(work, *args)
            workers = [*pool._processes.values()]
            result = future.result()
        except BrokenProcessPool:
            self.end()
            raise self._death(workers) from None
        except BaseException:
            if future and not future.done():  # this thread was interrupted, by Ctrl-C
                for worker in workers:
                    worker.terminate()
            self.end()  # what failed may have left a GPU or a library unusable
            raise
        if not warm:
            self.end()
        return result

    def end(self) -> None:
        """End the process, if there is one."""
        pool, self.pool = self.pool, None
        if pool:
            pool.shutdown()

    def _process(self, warm: bool) -> ProcessPoolExecutor:
        if self.pool and not (warm and _lives(self.pool)):
            self.end()  # a process that waits keeps its memory, also a GPU's
        self.pool = self.pool or _pool(self.kind, self.gpu)
        return self.pool

    def _death(self, workers: Sequence[BaseProcess]) -> Exception:
        tool = self.kind.tool
        if _is_stopped():
            return RunStoppedError(f"A process of {tool} was asked to stop and did.")
        code = next((worker.exitcode for worker in workers if worker.exitcode), 0)
        end = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return ProcessDiedError(
            f"A process of {tool} was killed or ran out of memory ({end}). What it had finished is "
            "kept: free memory, then run the same command again."
        )


class _Slots:
    """The slots whose processes work or wait for more work; no two have the same GPU."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without any: a forked child has none of its parent's processes."""
        self._changed = threading.Condition()
        self._held: list[_Slot] = []

    def take(self, kind: ProcessKind) -> _Slot:
        """Wait for a slot: the one of its kind that was left last, else a new one."""
        with self._changed:
            while (slot := self._waiting(kind) or self._new(kind)) is None:
                self._changed.wait()
            slot.busy = True
            slot.rest.cancel()
            return slot

    def leave(self, slot: _Slot) -> None:
        """Let others have the slot, or its GPU if no process waits there."""
        with self._changed:
            slot.busy = False
            others = [other for other in self._held if other is not slot]
            if slot.pool and len(others) < len(self._held):
                others.append(slot)
                slot.rest = threading.Timer(REST_S, self._end, [slot])
                slot.rest.daemon = True
                slot.rest.start()
            self._held = others
            self._changed.notify_all()

    def _waiting(self, kind: ProcessKind) -> _Slot | None:
        mine = (slot for slot in reversed(self._held) if slot.kind == kind)
        return next((slot for slot in mine if not slot.busy), None)

    def _new(self, kind: ProcessKind) -> _Slot | None:
        if sum(slot.kind == kind for slot in self._held) >= kind.at_once:
            return None
        gpu = None
        if kind.gpus:
            held = {slot.gpu: slot for slot in self._held}
            free = [gpu for gpu in kind.gpus if gpu not in held or not held[gpu].busy]
            if not free:
                return None
            gpu = min(free, key=held.__contains__)  # one without a process, if there is
            if gpu in held:
                self._end(held[gpu])
        slot = _Slot(kind, gpu)
        self._held.append(slot)
        return slot

    def _end(self, slot: _Slot) -> None:
        """End a process that waits."""
        with self._changed:
            if slot in self._held and not slot.busy:
                self._held.remove(slot)
                slot.end()
                self._changed.notify_all()


_slots = _Slots()
os.register_at_fork(after_in_child=_slots.forget)


def _pool(kind: ProcessKind, gpu: str | None) -> ProcessPoolExecutor:
    prepared = (gpu, kind.prepare, kind.settings)
    return ProcessPoolExecutor(1, _SPAWN, initializer=child_process.start, initargs=prepared)


def _lives(pool: ProcessPoolExecutor) -> bool:
    """Whether its process was not killed while it waited; for want of memory, say."""
    return not connection.wait([w.sentinel for w in pool._processes.values()], timeout=0)
