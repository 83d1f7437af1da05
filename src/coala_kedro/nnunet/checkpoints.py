"""Checkpoints of a fold on disk: whole, or not there."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
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
        CheckpointError: There are some, and all are damaged; or the newest that is whole cannot be
            loaded, for want of memory, of a GPU, or of its file system.
        UnsafeCheckpointError: One would run code.
    """
    faults = {}
    for name in (FINAL, LATEST, PREVIOUS):
        path = folder / name
        try:
            if not path.is_file():
                continue
            try:
                check_weights(path)
                load(str(path))
            except (UnsafeCheckpointError, OSError):
                raise
            except Exception as error:  # pickle and torch raise whatever a broken file leads to
                reason = str(error).strip().split("\n")[0] or type(error).__name__
                if not _is_damaged(path):
                    raise CheckpointError(
                        f"{path} is whole, and yet it could not be loaded ({reason}): "
                        f"{_remedy(error)}"
                    ) from error
                faults[name] = reason
                print(f"{name} cannot be read ({reason}); looking for an earlier one.")  # noqa: T201
            else:
                return name
        except OSError as error:
            raise CheckpointError(
                f"{path} could not be read ({error.strerror or error}): its file system is at "
                "fault, and nothing is lost. Look after it, and run the same command again."
            ) from error
    if faults:
        raise CheckpointError(
            f"No checkpoint of {folder} can be read: {faults}. Delete them, and the same command "
            "trains the fold from the start."
        )
    return ""


def _is_damaged(path: Path) -> bool:
    """Whether a file's bytes are no longer those that were written, by its checksums."""
    try:
        with zipfile.ZipFile(path) as records:
            return records.testzip() is not None
    except zipfile.BadZipFile:
        return True


def _remedy(error: Exception) -> str:
    reason = str(error)
    if isinstance(error, MemoryError) or re.search(r"out of memory|allocate memory", reason):
        return "too little memory is free. End what else holds it, and run the same command again."
    if re.search(r"CUDA|NVIDIA|cuda", reason):
        return "the GPU cannot be used. Look at nvidia-smi, and run the same command again."
    return "it is no checkpoint of this training. Move it away, and run the same command again."
