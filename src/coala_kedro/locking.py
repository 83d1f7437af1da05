"""Locks that keep a folder to one process at a time."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

LOCK = ".lock"
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What `flock` says on a cluster's file system that was mounted without it."""
_POLL_S = 0.2


class FolderInUseError(RuntimeError):
    """Another process works in the folder."""


@contextmanager
def alone_in(folder: Path, patience_s: float = 60, lock: Path | None = None) -> Iterator[None]:
    """Keep every other process out of a folder, as far as it asks too.

    The lock is the kernel's (`flock`): it ends with the process, however that ends.

    Args:
        folder: It is made if absent.
        patience_s: How long to wait for another to leave: one whose study was killed needs a
            moment to write its checkpoint.
        lock: The file that is locked, where it is not to lie in the folder.

    Raises:
        FolderInUseError: The other is still there.
    """
    path = lock or folder / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path, poll_interval=_POLL_S, fallback_to_soft=False)
    try:
        _acquire(held, folder, patience_s)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("This file system has no locks: never let two runs write into one folder.")
    with suppress(OSError):  # on a full disk it is not told who is in the folder
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    try:
        yield
    finally:
        held.release()


def _acquire(lock: FileLock, folder: Path, patience_s: float) -> None:
    try:
        lock.acquire(timeout=0)
        return
    except Timeout:
        logger.info("%s: waiting for it, %.0f s at most.", _in_use(folder, lock), patience_s)
    try:
        lock.acquire(timeout=patience_s)
    except Timeout:
        raise FolderInUseError(
            f"{_in_use(folder, lock)}: wait until it has ended, or stop it, then run the same "
            "command again."
        ) from None


def _in_use(folder: Path, lock: FileLock) -> str:
    holder = Path(lock.lock_file).read_text(encoding="utf-8", errors="replace")
    return f"{folder} is in use by {holder or 'another process'}"
