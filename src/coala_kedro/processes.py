"""Heavy work in processes of its own: its environment, output and memory stay there.

nnU-Net and TotalSegmentator set `nnUNet_*` in the environment, replace functions of libraries, and
hold memory, a GPU's too, until their process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import LifoQueue
from typing import Any, TypeVar

Result = TypeVar("Result")

REST_S = 60.0
"""A process ends after this time without work: it holds memory that others may want."""
_SPAWN = multiprocessing.get_context("spawn")
_CHECKPOINT_S = 20
"""How long a training whose study is gone may take to write its checkpoint."""

_PR_SET_PDEATHSIG = 1  # prctl(2)
_stopping = threading.Event()


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
    """

    tool: str
    at_once: int
    settings: Hashable
    prepare: Callable[[Any], None] | None = None


def in_own_process(
    kind: ProcessKind, warm: bool, work: Callable[..., Result], *args: Any
) -> Result:
    """Run `work(*args)` in a process of its own and wait for it.

    At most `kind.at_once` are there at a time; callers in other threads wait for their turn.

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
    slots = _slots.setdefault(kind, _new_slots(kind))
    slot = slots.get()
    try:
        return slot.run(warm, work, *args)
    finally:
        slots.put(slot)


def stop_all() -> None:
    """Ask every process to stop, and start no other; in the study's own process."""
    _stopping.set()
    for child in multiprocessing.active_children():
        child.terminate()


class _Slot:
    """A place for one process, which may wait there for more work."""

    def __init__(self, kind: ProcessKind) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._rest = threading.Timer(REST_S, self.end)

    def run(self, warm: bool, work: Callable[..., Result], *args: Any) -> Result:
        """Run work in the process that waits, or in a new one; see `in_own_process`."""
        self._rest.cancel()
        with self._lock:
            if _stopping.is_set():
                raise RunStoppedError("The study was asked to stop: run the same command again.")
            future: Future[Result] | None = None
            workers: list[BaseProcess] = []
            try:
                pool = self._process(warm)
                future = pool.submit(work, *args)
                workers = [*pool._processes.values()]
                result = future.result()
            except BrokenProcessPool:
                self._end()
                raise self._death(workers) from None
            except BaseException:
                if future and not future.done():  # this thread was interrupted, by Ctrl-C
                    for worker in workers:
                        worker.terminate()
                self._end()  # what failed may have left a GPU or a library unusable
                raise
            if warm:
                self._rest = threading.Timer(REST_S, self.end)
                self._rest.daemon = True
                self._rest.start()
            else:
                self._end()
            return result

    def end(self) -> None:
        """End the process that waits."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool:
            pool.shutdown()

    def _process(self, warm: bool) -> ProcessPoolExecutor:
        if self._pool and not (warm and _lives(self._pool)):
            self._end()  # a process that waits keeps its memory, also a GPU's
        self._pool = self._pool or _pool(self._kind)
        return self._pool

    def _death(self, workers: Sequence[BaseProcess]) -> Exception:
        tool = self._kind.tool
        if _stopping.is_set():
            return RunStoppedError(f"A process of {tool} was asked to stop and did.")
        code = next((worker.exitcode for worker in workers if worker.exitcode), 0)
        end = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return ProcessDiedError(
            f"A process of {tool} was killed or ran out of memory ({end}). What it had finished is "
            "kept: free memory, then run the same command again."
        )


_Slots = LifoQueue[_Slot]
_slots: dict[ProcessKind, _Slots] = {}
# A forked child has none of its parent's processes.
os.register_at_fork(after_in_child=_slots.clear)


def _new_slots(kind: ProcessKind) -> _Slots:
    """A place for each process that may work; the one that was left last is taken first."""
    slots: _Slots = LifoQueue()
    for _ in range(kind.at_once):
        slots.put(_Slot(kind))
    return slots


def _pool(kind: ProcessKind) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, _SPAWN, initializer=_start, initargs=(kind,))


def _lives(pool: ProcessPoolExecutor) -> bool:
    """Whether its process was not killed while it waited; for want of memory, say."""
    return not connection.wait([w.sentinel for w in pool._processes.values()], timeout=0)


def _start(kind: ProcessKind) -> None:
    """Prepare a new process: end with the parent, hear signals, and what its kind asks for."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    if sys.platform == "linux":
        # As when the tool runs by itself; a process that was spawned would spawn its own.
        multiprocessing.set_start_method("fork", force=True)
        os.register_at_fork(before=_note_who_forks, after_in_child=_end_with_parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    if kind.prepare:
        kind.prepare(kind.settings)


_asked_to_stop, _may_end = threading.Event(), threading.Event()
_may_end.set()
_temporary: list[Path] = []


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Hear what would end this process at once, so that work can end between two steps.

    Yields:
        Whether a signal to stop (SIGTERM, Ctrl-C) has come, or the study is gone.
    """
    _asked_to_stop.clear()
    _may_end.clear()
    try:
        yield _asked_to_stop.is_set
    finally:
        _may_end.set()


@contextlib.contextmanager
def gone_with_process(folder: Path) -> Iterator[None]:
    """Remove a caller's temporary folder if this process is ended, or the caller killed."""
    _temporary.append(folder)
    try:
        yield
    finally:
        _temporary.remove(folder)


def _on_signal(number: int, _: Any) -> None:
    _asked_to_stop.set()
    if _may_end.is_set():
        _leave(128 + number)


def _follow_parent() -> None:
    """Leave when the study is killed, so that no orphan writes where the next run works."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    _asked_to_stop.set()
    _may_end.wait(_CHECKPOINT_S)
    _leave(1)


def _leave(status: int) -> None:
    for folder in _temporary:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(status)


_main_forks = False


def _note_who_forks() -> None:
    global _main_forks  # noqa: PLW0603
    _main_forks = threading.current_thread() is threading.main_thread()


def _end_with_parent() -> None:
    """In nnU-Net's augmentation workers: Linux ends them with the thread that forked them."""
    if _main_forks:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


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
    """Append what is printed to a file, and why the work failed if it did.

    Args:
        path: The file; its folder is made if absent.
    """
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
