"""Checks that loading a network runs no foreign code: neither its checkpoint nor its plans."""

from __future__ import annotations

import functools
import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_NAMED = re.compile(r"GLOBAL (\S+)|(?:class|function|type|module) (\S+)")

_NETWORK = re.compile(
    r"(torch\.nn(\.modules\.[a-z_]+)?"
    r"|dynamic_network_architectures\.(architectures|building_blocks)\.[a-z_]+)\.[A-Z]\w*"
)
"""Networks and layers, as nnU-Net's plans name them; no module that one of theirs imports."""


class UnsafeCheckpointError(RuntimeError):
    """A checkpoint or plans would run code when it is loaded."""


class CheckpointFormatError(RuntimeError):
    """A file is no checkpoint, or a damaged one."""


def check_weights(path: Path) -> None:
    """Make sure that a checkpoint can be loaded by a library that trusts it.

    nnU-Net loads with `weights_only=False`, so code that a file names is run. Therefore torch's
    safe loader reads it first, with the NumPy numbers of nnU-Net's records allowed beside tensors;
    it reads no weights. A file that did not change is checked only once.

    Args:
        path: The checkpoint.

    Raises:
        UnsafeCheckpointError: It names code.
        CheckpointFormatError: It is none of torch's zip files, which nnU-Net has always written.
        OSError: It cannot be read.
    """
    found = path.stat()
    _check(str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.cache
def _check(name: str, *_version: int) -> None:
    import torch

    if not zipfile.is_zipfile(name):
        raise CheckpointFormatError(
            f"{name} is no checkpoint of nnU-Net 2, or is damaged: copy or download it anew."
        )
    try:
        with torch.serialization.safe_globals(_numbers()):
            torch.load(name, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpointError(
            f"{name} is refused: it holds {_named(str(error))} beside weights, and to load it "
            "would run that. Ask where it comes from; take the model from its publisher anew."
        ) from None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged record leads to any of them
        reason = str(error).strip().split("\n")[0]
        raise CheckpointFormatError(f"{name} is damaged ({reason}): copy it anew.") from None


def check_plans(path: Path) -> None:
    """Make sure that a model's plans name networks and their layers only.

    nnU-Net imports whatever they name and calls it with what they say: as a layer of activation,
    `os.system` would run a command.

    Args:
        path: nnU-Net's `plans.json`.

    Raises:
        UnsafeCheckpointError: They name something else.
        CheckpointFormatError: They are no plans of nnU-Net 2.
    """
    try:
        plans = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # They name nothing; nnU-Net says so.
    try:
        named = {*_imported(plans)}
    except (KeyError, TypeError, AttributeError):
        raise CheckpointFormatError(f"{path} is no plans of nnU-Net 2: copy it anew.") from None
    if wrong := sorted(name for name in named if not _NETWORK.fullmatch(name)):
        raise UnsafeCheckpointError(
            f"{path} is refused: it names {wrong[0]!r} as a part of the network, and to build it "
            "would run that. Ask where it comes from; take the model from its publisher anew."
        )


def _imported(plans: dict[str, Any]) -> Iterator[str]:
    for configuration in plans.get("configurations", {}).values():
        if architecture := configuration.get("architecture"):  # since nnU-Net 2.4
            yield str(architecture["network_class_name"])
            parts = map(architecture["arch_kwargs"].get, architecture["_kw_requires_import"])
            yield from (str(part) for part in parts if part is not None)


def _numbers() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What NumPy's numbers and arrays are pickled as, by NumPy 1 and 2."""
    import numpy as np
    from numpy._core import multiarray

    kinds = (np.float64, np.float32, np.float16, np.int64, np.int32, np.bool_)
    functions = {"scalar": multiarray.scalar, "_reconstruct": multiarray._reconstruct}
    return [
        np.dtype,
        np.ndarray,
        *(type(np.dtype(kind)) for kind in kinds),
        *(
            (function, f"numpy.{core}.multiarray.{name}")
            for name, function in functions.items()
            for core in ("core", "_core")
        ),
    ]


def _named(message: str) -> str:
    found = _NAMED.search(message.partition("\n\t")[2] or message)
    return next(filter(None, found.groups())).rstrip(".,") if found else "something else"
