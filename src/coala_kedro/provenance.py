"""Provenance beside made things: what made them, written after they are whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coala_kedro.disk import written_whole


def read_provenance(path: Path) -> dict[str, Any] | None:
    """The provenance written at a path, or None where there is none.

    Args:
        path: The file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def write_provenance(path: Path, content: dict[str, Any]) -> None:
    """Write provenance atomically.

    Args:
        path: The file.
        content: What made the things beside it; JSON.

    Raises:
        DiskFullError: The disk is full; what was there before is untouched.
    """
    written = json.dumps(content, indent=1, sort_keys=True).encode()
    with written_whole(path, "a record", len(written)) as partial:
        partial.write_bytes(written)
