"""Checkpoints of a fold on disk: whole, or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from coala_kedro.disk import disk_full, force_to_disk
from coala_kedro.weights import UnsafeCheckpointError, check_weights

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

    Args:
        path: The checkpoint's file.
        content: Its bytes.

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
        if full := disk_full(error, path.parent, "a checkpoint", len(content)):
            raise CheckpointError(full) from None
        raise
    if path.name == LATEST and path.exists():
        os.replace(path, path.with_name(PREVIOUS))
    os.replace(partial, path)
    with contextlib.suppress(OSError):  # not every file system can force a name
        force_to_disk(path.parent)


def load_newest(folder: Path, load: Callable[[str], None]) -> str:
    """Load the newest checkpoint of a fold that can be read.

    Args:
        folder: Of the fold.
        load: Loads a file or raises.

    Returns:
        Its file name; empty where the fold has none.

    Raises:
        CheckpointError: There are some, and none can be read.
        UnsafeCheckpointError: One would run code.
    """
    faults = {}
    for name in (FINAL, LATEST, PREVIOUS):
        if (folder / name).is_file():
            try:
                check_weights(folder / name)
                load(str(folder / name))
            except UnsafeCheckpointError:
                raise
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
