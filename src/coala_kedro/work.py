"""Work that takes days: alone in its folder, and stopped in good order."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

LOCK = ".lock"
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What `flock` says on a cluster's file system that was mounted without it."""
_POLL_S = 0.2
_MAX_NAME_BYTES = 300


class WorkStoppedError(RuntimeError):
    """Work was asked to stop and has kept what it did; the same command goes on from there."""


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
    lock = lock or folder / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab+", buffering=0) as file:
        _wait_for(file.fileno(), folder, patience_s)
        with contextlib.suppress(OSError):  # on a full disk it is not told who is in the folder
            os.ftruncate(file.fileno(), 0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield


def _wait_for(descriptor: int, folder: Path, patience_s: float) -> None:
    deadline, told = time.monotonic() + patience_s, False
    while not _taken(descriptor):
        other = os.pread(descriptor, _MAX_NAME_BYTES, 0).decode(errors="replace")
        in_use = f"{folder} is in use by {other or 'another process'}"
        if time.monotonic() > deadline:
            raise FolderInUseError(
                f"{in_use}: wait until it has ended, or stop it, then run the same command again."
            )
        if not told:
            logger.info("%s: waiting for it, %.0f s at most.", in_use, patience_s)
            told = True
        time.sleep(_POLL_S)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("This file system has no locks: never let two runs write into one folder.")
    return True
