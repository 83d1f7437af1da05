"""Fingerprints of work: two recipes with the same fingerprint make the same thing.

A recipe is a callable without arguments, mostly a `functools.partial` of a function that `recipe`
has given a name and a version. Its fingerprint covers both, the constants that the function names,
and the inputs bound to it. An input counts as far as it decides the result:

- a parameter counts where it differs from its default, so an option that comes later changes
  nothing as long as nobody uses it; a field marked `DECIDES_NOTHING` never counts;
- an object counts as its `fingerprint` attribute says (a string); an empty one does not count;
- the place of a function or a class in the code does not count, nor does the code itself: whoever
  changes what a recipe makes (its method, or a default) gives it a new version.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import inspect
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel

DECIDES_NOTHING: dict[str, Any] = {"decides_the_result": False}
"""`json_schema_extra` of a pydantic field that does not change what is made."""

_GZIP_TRAILER_BYTES = 8
_PACKAGE = __name__.partition(".")[0]
_NAME_OF = "__recipe__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class RecipeName:
    """Name and version of a recipe, whatever its function's name and module.

    Attributes:
        name: For ever; unique in the project.
        version: Raised by whoever changes what the recipe makes of the same inputs.
        constants: What decides the result and is no parameter, by name.
    """

    name: str
    version: int
    constants: Mapping[str, Any]


def recipe(name: str, version: int = 1, **constants: Any) -> Callable[[F], F]:
    """Name a function whose partials are recipes.

    Args:
        name: As of `RecipeName`.
        version: As of `RecipeName`.
        **constants: As of `RecipeName`.

    Examples:
        >>> @recipe("consensus_mask", version=2, converged=CONVERGED)
        ... def _consensus_mask(masks, method): ...
    """

    def named(function: F) -> F:
        setattr(function, _NAME_OF, RecipeName(name, version, constants))
        return function

    return named


def recipe_name(function: Any) -> RecipeName | None:
    """The name that `recipe` has given a function; None without one.

    Args:
        function: Any callable.
    """
    return getattr(function, _NAME_OF, None)


def fingerprint(value: Any) -> str:
    """Fingerprint of a recipe or of any value a recipe may hold.

    Args:
        value: Callables, pydantic models, dataclasses, frames, arrays, paths, containers, scalars,
            or objects with a `fingerprint` attribute.

    Returns:
        16 hexadecimal digits of a SHA-256.

    Raises:
        TypeError: The value holds something whose content cannot be told, or a function of this
            project that has no name as a recipe.
    """
    return digest(describe(value))


def digest(described: Any) -> str:
    """Fingerprint of a description.

    Args:
        described: From `describe`.
    """
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changes(before: Any, now: Any, name: str = "") -> list[str]:
    """Names of what differs between two descriptions, such as `prepared`, `protocol.epochs`.

    Args:
        before: From `describe`.
        now: From `describe`.
        name: What both describe; comes before each name.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = sorted({*before, *now})
        pairs = [(before.get(key), now.get(key), f"{name}.{key}") for key in keys]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(one, other, name) for one, other in zip(before, now, strict=True)]
    elif isinstance(before, Mapping) != isinstance(now, Mapping) and not (before and now):
        # Parameters of which none, or none any more, differs from its default.
        return changes(before or {}, now or {}, name)
    else:
        return [] if before == now else [name.removeprefix(".")]
    return sorted({change for pair in pairs for change in changes(*pair)})


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """Fingerprint of a file's bytes; of a `.gz` file read from its last eight.

    A gzip member ends with the CRC-32 and the length of its content (RFC 1952), so a cohort of
    80 GB is fingerprinted without reading it. A process reads a file again only if it changed.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read, or is no file.
    """
    return _content_fingerprint(str(path), *file_version(path))


def file_version(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Inode, size and times of a file, of which one changes whenever the file changes.

    Args:
        path: The file.

    Raises:
        OSError: It is no file.
    """
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "It is no file")  # a pipe would be read for ever
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


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


def bound_inputs(value: Any) -> tuple[Any, dict[str, Any]]:
    """The function of nested partials, and the values bound to its parameters, by name.

    Args:
        value: A partial, or any other value, to which nothing is bound.
    """
    if not isinstance(value, functools.partial):
        return value, {}
    function = value.func
    bound = inspect.signature(function).bind_partial(*value.args, **value.keywords)
    return function, dict(bound.arguments)


def describe(value: Any) -> Any:
    """What a fingerprint covers, as plain data; kept beside a result, it shows why that is stale.

    Args:
        value: As of `fingerprint`.

    Raises:
        TypeError: As of `fingerprint`.
    """
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(getattr(value, "fingerprint", None), str):
        return value.fingerprint
    if callable(value):
        return _canonical_callable(value)
    if isinstance(value, BaseModel):
        return _parameters(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return [type(value).__qualname__, describe(fields)]
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    return canonical_data(value)


def _parameters(value: BaseModel) -> dict[str, Any]:
    """The fields of a pydantic model that differ from their defaults and decide the result."""
    told = {}
    for name, field in type(value).model_fields.items():
        given = getattr(value, name)
        if field.json_schema_extra == DECIDES_NOTHING:
            continue
        if field.is_required() or given != field.get_default(call_default_factory=True):
            told[name] = describe(given)
    return told


def _canonical_callable(value: Any) -> Any:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    function = value.func if isinstance(value, functools.partial) else value
    if named := recipe_name(function):
        return _canonical_recipe(named, value)
    if isinstance(value, functools.partial):
        return [describe(value.func), describe(value.args), describe(value.keywords)]
    if inspect.ismethod(value):
        return [value.__func__.__name__, describe(value.__self__)]
    if not inspect.isfunction(value):
        raise TypeError(f"No fingerprint for {value!r}: bind its inputs with functools.partial.")
    if value.__module__.partition(".")[0] == _PACKAGE:
        raise TypeError(f"No fingerprint for {value!r}: give it a name with @recipe.")
    bound = [cell.cell_contents for cell in value.__closure__ or ()]
    defaults = [value.__defaults__ or (), value.__kwdefaults__ or {}]
    return [f"{value.__module__}.{value.__qualname__}", describe(bound), describe(defaults)]


def _canonical_recipe(named: RecipeName, value: Any) -> dict[str, Any]:
    """Name and version, constants and inputs, side by side."""
    function, inputs = bound_inputs(value)
    defaults = {n: p.default for n, p in inspect.signature(function).parameters.items()}
    told: dict[str, Any] = {"recipe": named.name, "version": named.version}
    told |= {name: describe(constant) for name, constant in named.constants.items()}
    for name, given in inputs.items():
        described = describe(given)
        default = defaults[name]
        is_default = default is not inspect.Parameter.empty and described == describe(default)
        if described != "" and not is_default:
            told[name] = described
    return told


def canonical_data(value: Any) -> Any:
    """Frames, arrays, paths and NumPy's scalars as plain data.

    Args:
        value: One of these.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(value, pd.DataFrame | pd.Series):
        return value.to_csv()
    if isinstance(value, np.ndarray):
        sha256 = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), sha256]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"No fingerprint for a {type(value).__name__}: give it a `fingerprint` string.")
