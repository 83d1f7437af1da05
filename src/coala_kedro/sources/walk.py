"""Files below a local folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_OF_THE_SYSTEM = ("lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir")
"""Folders that a disk has of its own, and that nobody but its system may read."""


def walked(
    root: Path,
    folders: bool = False,
    depth: int | None = None,
    unreadable: Callable[[OSError], None] | None = None,
) -> Iterator[str]:
    """Files below a local folder, or the folders that hold files; relative, sorted, none hidden.

    A folder that cannot be read is told to `unreadable`.
    """
    for place, below, files in os.walk(root, followlinks=True, onerror=unreadable):
        parts = Path(place).relative_to(root).parts
        seen = sorted(name for name in files if not name.startswith("."))
        if folders and seen:
            yield "/".join(parts)
        elif not folders:
            yield from ("/".join([*parts, name]) for name in seen)
        limit = None if depth is None else depth - (not folders)
        if limit is not None and len(parts) >= limit:
            below.clear()
        shown = (n for n in below if not n.startswith(".") and n not in _OF_THE_SYSTEM)
        below[:] = sorted(name for name in shown if not _loops(Path(place, name)))


def _loops(folder: Path) -> bool:
    """Whether it is a link to a folder that it lies in."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
