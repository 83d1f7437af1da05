"""Marks beside made things: what made them, written after they are whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_mark(path: Path) -> dict[str, Any] | None:
    """The mark at `path`, or None where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write_mark(path: Path, content: dict[str, Any]) -> None:
    """Write a mark atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True))
    os.replace(partial, path)
