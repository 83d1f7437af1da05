"""Inside a process that `processes` has started: its signals, its end with the study, its log."""

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
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any

_CHECKPOINT_S = 20
"""How long a training whose study is gone may take to write its checkpoint."""
_PR_SET_PDEATHSIG = 1  # prctl(2)


def start(gpu: str | None, prepare: Callable[[Any], None] | None, settings: Any) -> None:
    """Prepare a new process: end with the parent, hear signals, see one GPU and no other.

    Args:
        gpu: As `CUDA_VISIBLE_DEVICES` names it; None leaves the environment as it is.
        prepare: Called with the settings, as the last step.
        settings: Of the tool.
    """
    threading.Thread(target=_follow_parent, daemon=True).start()
    if sys.platform == "linux":
        # As when the tool runs by itself; a process that was spawned would spawn its own.
        multiprocessing.set_start_method("fork", force=True)
        os.register_at_fork(before=_note_who_forks, after_in_child=_end_with_parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    if prepare:
        prepare(settings)


# No Event: a second signal, while the first sets it, would wait for its lock for ever.
_asked_to_stop = False
_may_end = threading.Event()
_may_end.set()
_temporary: list[Path] = []


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Hear what would end this process at once, so that work can end between two steps.

    Yields:
        Whether a signal to stop (SIGTERM, Ctrl-C) has come, or the study is gone.
    """
    global _asked_to_stop  # noqa: PLW0603
    _asked_to_stop = False
    _may_end.clear()
    try:
        yield lambda: _asked_to_stop
    finally:
        _may_end.set()


@contextlib.contextmanager
def gone_with_process(folder: Path) -> Iterator[None]:
    """Remove a caller's temporary folder if this process is ended, or the caller killed.

    Args:
        folder: It need not be there any longer by then.
    """
    _temporary.append(folder)
    try:
        yield
    finally:
        _temporary.remove(folder)


def _on_signal(number: int, _: Any) -> None:
    global _asked_to_stop  # noqa: PLW0603
    _asked_to_stop = True
    if _may_end.is_set():
        _leave(128 + number)


def _follow_parent() -> None:
    """Leave when the study is killed, so that no orphan writes where the next run works."""
    global _asked_to_stop  # noqa: PLW0603
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    _asked_to_stop = True
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
