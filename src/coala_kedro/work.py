"""Work that takes days: alone in its folder, and stopped in good order."""

from __future__ import annotations

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


class WorkStoppedError(RuntimeError):
    """Work was asked to stop and has kept what it did; the same command goes on from there."""


class FolderInUseError(RuntimeError):
    """Another process works in the folder."""


@contextmanager
def alone_in(folder: Path, patience_s: float = 60) -> Iterator[None]:
    """Keep every other process out of a folder, as far as it asks too.

    The lock is the kernel's (`flock`): it ends with the process, however that ends.

    Args:
        folder: It is made if absent.
        patience_s: How long to wait for another to leave: one whose study was killed needs a
            moment to write its checkpoint.

    Raises:
        FolderInUseError: The other is still there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        deadline = time.monotonic() + patience_s
        while not _taken(file.fileno()):
            if time.monotonic() > deadline:
                file.seek(0)
                raise FolderInUseError(
                    f"{folder} is in use by {file.read() or 'another process'}: wait until it has "
                    "ended, or stop it, then run the same command again."
                )
            time.sleep(_POLL_S)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


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
