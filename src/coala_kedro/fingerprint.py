"""Fingerprints of work: two recipes with the same fingerprint make the same thing.

A recipe is a callable without arguments: a `functools.partial` of a module-level function, a bound
method, or a closure. Its fingerprint covers the function's name and everything bound to it, so a
changed parameter or a changed input file changes it. The function's code is not part of it: an
upgrade that mends a comment must not cost twenty GPU-days. An object decides what it contributes
by a `fingerprint` attribute (a string); an empty one means "does not change the result".
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

_GZIP_TRAILER_BYTES = 8


def fingerprint(value: Any) -> str:
    """Fingerprint of a recipe or of any value a recipe may hold.

    Args:
        value: Callables, pydantic models, dataclasses, frames, arrays, paths, containers, scalars,
            or objects with a `fingerprint` attribute.

    Returns:
        16 hexadecimal digits of a SHA-256.

    Raises:
        TypeError: The value holds something whose content cannot be told.
    """
    text = json.dumps(_canonical(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """Fingerprint of a file's content; of a `.gz` file read from its last eight bytes.

    A gzip member ends with the CRC-32 and the length of what it holds (RFC 1952), so a cohort of
    80 GB is fingerprinted without reading it. A process reads a file again only if it changed.
    """
    found = Path(path).stat()
    version = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return _content_fingerprint(str(path), *version)


@functools.cache
def _content_fingerprint(name: str, *version: int) -> str:
    path = Path(name)
    with path.open("rb") as file:
        if path.suffix != ".gz":
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        file.seek(-min(_GZIP_TRAILER_BYTES, path.stat().st_size), os.SEEK_END)
        trailer = file.read()
        if any(trailer):
            return trailer.hex()
        # bgzip ends every file with an empty member, so the trailer tells nothing.
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def describe(value: Any) -> Any:
    """What the fingerprint covers, as plain data: kept beside a thing, it tells why it is stale."""
    return _canonical(value)


def changes(before: Any, now: Any, name: str = "") -> list[str]:
    """Names of what differs between two descriptions, such as `prepared`, `protocol.epochs`."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = sorted({*before, *now})
        pairs = [(before.get(key), now.get(key), f"{name}.{key}") for key in keys]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(one, other, name) for one, other in zip(before, now, strict=True)]
    else:
        return [] if before == now else [name.removeprefix(".")]
    return sorted({change for pair in pairs for change in changes(*pair)})


def _canonical(value: Any) -> Any:
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(getattr(value, "fingerprint", None), str):
        return value.fingerprint
    if callable(value):
        return _canonical_callable(value)
    if isinstance(value, BaseModel):
        return [type(value).__qualname__, value.model_dump(mode="json")]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return [type(value).__qualname__, _canonical(fields)]
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return _canonical_data(value)


def _canonical_callable(value: Any) -> Any:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, functools.partial):
        return [_canonical(value.func), _canonical(value.args), _canonical(value.keywords)]
    if inspect.ismethod(value):
        return [value.__func__.__qualname__, _canonical(value.__self__)]
    if not inspect.isfunction(value):
        raise TypeError(f"No fingerprint for {value!r}: bind its inputs with functools.partial.")
    bound = [cell.cell_contents for cell in value.__closure__ or ()]
    defaults = [value.__defaults__ or (), value.__kwdefaults__ or {}]
    return [f"{value.__module__}.{value.__qualname__}", _canonical(bound), _canonical(defaults)]


def _canonical_data(value: Any) -> Any:
    if isinstance(value, pd.DataFrame | pd.Series):
        return value.to_csv()
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), digest]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"No fingerprint for a {type(value).__name__}: give it a `fingerprint` string.")
