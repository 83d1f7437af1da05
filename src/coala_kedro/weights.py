"""Whether a network's checkpoint is weights and nothing else."""

from __future__ import annotations

import functools
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAMED = re.compile(r"GLOBAL (\S+)|(?:class|function|type|module) (\S+)")


class UnsafeCheckpointError(RuntimeError):
    """A checkpoint would run code when it is loaded."""


class CheckpointFormatError(RuntimeError):
    """A file is no checkpoint, or a damaged one."""


def check_weights(path: Path) -> None:
    """Make sure that a checkpoint can be loaded by a library that trusts it.

    nnU-Net loads with `weights_only=False`: whatever code a file names is run. So torch's own safe
    loader reads it first, with the NumPy numbers of nnU-Net's records allowed beside tensors. Only
    what the file names is read, no weights. A file is checked once as long as it stays the same.

    Raises:
        UnsafeCheckpointError: It names code.
        CheckpointFormatError: It is none of torch's zip files, which nnU-Net has always written.
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
    except (RuntimeError, EOFError, KeyError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointFormatError(f"{name} is damaged ({reason}): copy it anew.") from None


def _numbers() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What NumPy's numbers and arrays are pickled as, by NumPy 1 and 2."""
    import numpy as np
    from numpy._core import multiarray

    kinds = (np.float64, np.float32, np.float16, np.int64, np.int32, np.bool_)
    return [
        np.dtype,
        np.ndarray,
        *(type(np.dtype(kind)) for kind in kinds),
        *((multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
        *(
            (multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct")
            for core in ("core", "_core")
        ),
    ]


def _named(message: str) -> str:
    found = _NAMED.search(message.partition("\n\t")[2] or message)
    return next(filter(None, found.groups())).rstrip(".,") if found else "something else"
