"""Temporary folders that do not outlive their process, however that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ALIVE = ".alive"


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder, closed to other users; removed at the end.

    What a killed process left under the same prefix is removed first: the kernel's lock on a file
    in it (`flock`) has ended with the process.

    Args:
        prefix: Of its name.

    Yields:
        The folder, below the system's for temporary files (`TMPDIR`).
    """
    _remove_left(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        with (folder / f"{_ALIVE}.new").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(file.name, folder / _ALIVE)  # nobody sees it without its lock
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left(prefix: str) -> None:
    for alive in Path(tempfile.gettempdir()).glob(f"{prefix}*/{_ALIVE}"):
        with suppress(OSError), alive.open("rb") as file:  # another user's, or gone by now
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its process lives
            shutil.rmtree(alive.parent, ignore_errors=True)
