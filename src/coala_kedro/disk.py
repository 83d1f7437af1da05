"""Writing files atomically, and messages about a full disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

_PARTIAL = ".partial-"
_PROBE_BYTES = 1 << 20
_REFUSALS = {
    errno.ENOSPC: ("The disk of {} is full", "make room"),
    errno.EDQUOT: ("The quota on the disk of {} is used up", "make room or ask for more"),
    errno.EFBIG: ("A file in {} reached the limit of its size", "raise the limit (ulimit -f)"),
}


class DiskFullError(RuntimeError):
    """The disk is full; the message names the folder, what is needed and what is free."""


@contextlib.contextmanager
def written_whole(path: Path, what: str, needed_bytes: int | None = None) -> Iterator[Path]:
    """Write a file beside its place; it gets its name when it is whole and on the disk.

    Args:
        path: The file; its folder is made if absent.
        what: What it holds, for messages: `a volume`.
        needed_bytes: What it takes, for messages; the most it may take if it is compressed.

    Yields:
        Where to write it. No other process writes there, and its suffix is that of `path`. Whoever
            writes with a library that may fail without a word looks there whether it is whole.

    Raises:
        DiskFullError: The disk is full, whatever the writer made of that. What was there before
            is untouched.
    """
    partial = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex[:8]}-{path.name}")
    with room_in(path.parent, what, lambda: needed_bytes or _size(partial), partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        force_to_disk(partial)
        os.replace(partial, path)
    with contextlib.suppress(OSError):  # not every file system can force a name
        force_to_disk(path.parent)


@contextlib.contextmanager
def room_in(
    folder: Path, what: str, needed_bytes: Callable[[], int], partial: Path | None = None
) -> Iterator[None]:
    """Turn an error in writing below a folder into `DiskFullError` where the disk is full.

    Args:
        folder: Where it writes.
        what: What it writes, for messages.
        needed_bytes: Tells what that takes, about; asked only when it is wanted.
        partial: The file that it writes, if it is one: what is left of it is removed.

    Raises:
        DiskFullError: The writer failed, and the disk takes no more.
    """
    partial = partial or folder / f"{_PARTIAL}{uuid.uuid4().hex[:8]}"
    try:
        yield
    except Exception as error:
        if (refusal := _refusal(error, partial)) is None:
            raise
        needed = needed_bytes()
        partial.unlink(missing_ok=True)  # before the room that is left is measured
        raise DiskFullError(_words(refusal, folder, what, needed)) from error
    finally:
        partial.unlink(missing_ok=True)


def disk_full(error: OSError, folder: Path, what: str, needed_bytes: int) -> str:
    """The message for an error in writing; empty where the disk is not full.

    Args:
        error: The error.
        folder: Where was written.
        what: What was written, such as `a volume`.
        needed_bytes: How much room it needs.
    """
    if error.errno is None or error.errno not in _REFUSALS:
        return ""
    return _words(error.errno, folder, what, needed_bytes)


def force_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Args:
        path: The file or folder.

    Raises:
        OSError: They cannot be written: a server reports a full disk or quota only now.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partial(folder: Path) -> None:
    """Remove the unfinished files that killed processes left below a folder.

    Args:
        folder: The folder; nobody may be writing there.
    """
    for path in folder.rglob(f"{_PARTIAL}*"):
        path.unlink(missing_ok=True)


def _refusal(error: BaseException | None, partial: Path) -> int | None:
    """Why the disk takes no more, as an errno; None if it does take more.

    Many writers hide the system's error, or never look for it (SimpleITK's of NIfTI): so the disk
    is asked.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return error.errno
        error = error.__cause__ or error.__context__
    try:
        with partial.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as refused:
        return refused.errno if refused.errno in _REFUSALS else None
    return None


def _words(refusal: int, folder: Path, what: str, needed_bytes: int) -> str:
    cause, remedy = _REFUSALS[refusal]
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = 0
    return (
        f"{cause.format(folder)}: {what} needs {_size_in_words(needed_bytes)} and "
        f"{_size_in_words(free)} are free. What was finished is kept: {remedy}, then run the same "
        "command again."
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _size_in_words(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 50_000 else f"{n_bytes / 1e3:,.1f} kB"
