"""Checkpoints of a fold on disk: whole, or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

FINAL, LATEST, PREVIOUS = (
    "checkpoint_final.pth",
    "checkpoint_latest.pth",
    "checkpoint_previous.pth",
)


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read; the message says what to do."""


def write_checkpoint(path: Path, content: bytes | memoryview) -> None:
    """Write a checkpoint so that it, or what was there before, survives whatever happens.

    It is written beside its place, forced to the disk and renamed. The last `LATEST` stays as
    `PREVIOUS`.

    Raises:
        CheckpointError: The disk is full. What was there before is untouched.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise CheckpointError(
            f"The disk of {path.parent} is full: a checkpoint needs {_mb(len(content))} and "
            f"{_mb(free)} are free. The last good checkpoint is kept: make room, then run the "
            "same command again."
        ) from None
    if path.name == LATEST and path.exists():
        os.replace(path, path.with_name(PREVIOUS))
    os.replace(partial, path)
    _force_names(path.parent)


def load_newest(folder: Path, load: Callable[[str], None]) -> str:
    """Load the newest checkpoint of a fold that can be read.

    Args:
        folder: Of the fold.
        load: Loads a file or raises.

    Returns:
        Its file name; empty where the fold has none.

    Raises:
        CheckpointError: There are some, and none can be read.
    """
    faults = {}
    for name in (FINAL, LATEST, PREVIOUS):
        if (folder / name).is_file():
            try:
                load(str(folder / name))
            except Exception as error:  # pickle and torch raise whatever a broken file leads to
                faults[name] = str(error).strip().split("\n")[0]
                print(f"{name} cannot be read ({faults[name]}); looking for an earlier one.")  # noqa: T201
            else:
                return name
    if faults:
        raise CheckpointError(
            f"No checkpoint of {folder} can be read: {faults}. Delete them, and the same command "
            "trains the fold from the start."
        )
    return ""


def _force_names(folder: Path) -> None:
    """Force a rename to the disk, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
