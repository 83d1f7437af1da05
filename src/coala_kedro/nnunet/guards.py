"""Checks before a fold is trained for a day, and reasons to end it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coala_kedro.fingerprint import file_fingerprint
from coala_kedro.nnunet.planning import plans_of
from coala_kedro.nnunet.workspace import preprocessed_dataset
from coala_kedro.provenance import read_provenance, write_provenance

if TYPE_CHECKING:
    import torch

_CHECKPOINT_FILES = 5  # latest, previous, best, final, and one being written
_HANDED_ON = "handed_on.json"
_N_NAMED = 5


class GuardError(RuntimeError):
    """A training would fail later; the message says of what, and the remedy."""


class LossNotFiniteError(RuntimeError):
    """The loss of a batch is NaN or infinite; the message names the epoch and the scans."""


def check_preprocessed(prepared: Path, cases: Iterable[str]) -> None:
    """Make sure that every case is preprocessed for both stages.

    Args:
        prepared: The prepared folder.
        cases: Scan ids.

    Raises:
        GuardError: Files are missing; it names the cases.
    """
    folder, plans = preprocessed_dataset(prepared), plans_of(prepared)["configurations"]
    data = {plans[name]["data_identifier"] for name in ("3d_lowres", "3d_fullres")}
    missing = sorted(
        case
        for case in cases
        if not all(
            (folder / identifier / f"{case}{end}").is_file()
            for identifier in data
            for end in (".b2nd", "_seg.b2nd", ".pkl")
        )
    )
    if missing:
        raise GuardError(
            f"{_named(missing)} are not preprocessed in {folder}: delete "
            f"{prepared / '.complete.json'} and run plan_and_preprocess again."
        )


def hand_on(fold: Path, place: Path, cases: Iterable[str]) -> None:
    """Note in a lowres fold what it wrote for the second stage.

    Args:
        fold: Its folder.
        place: nnU-Net's folder of predictions for the next stage, of all folds.
        cases: The fold's validation scans.
    """
    files = {case: file_fingerprint(place / f"{case}.b2nd") for case in cases}
    write_provenance(fold / _HANDED_ON, files)


def check_handed_on(earlier: Sequence[Path], place: Path, cases: Iterable[str]) -> None:
    """Every case has the first stage's prediction, as the lowres folds bound to us wrote it.

    Args:
        earlier: Folders of the finished lowres folds.
        place: nnU-Net's folder of predictions for this stage, of all folds.
        cases: Train and validation scans.

    Raises:
        GuardError: One is missing, or another training wrote it since; it names the cases.
    """
    written: dict[str, str] = {}
    for fold in earlier:
        written |= read_provenance(fold / _HANDED_ON) or {}
    stale = [
        case
        for case in cases
        if not (place / f"{case}.b2nd").is_file()
        or written.get(case) != file_fingerprint(place / f"{case}.b2nd")
    ]
    if stale:
        raise GuardError(
            f"The first stage's predictions of {_named(sorted(stale))} in {place} are missing or "
            "not what the finished lowres folds wrote. Delete .complete.json in the folders of "
            "those folds and run them again: only their validation is repeated."
        )


def check_gpu_memory(needed_gb: float, free_bytes: int) -> None:
    """The GPU has the memory the plans were made for.

    Args:
        needed_gb: The planner's target, which nnU-Net's batches are sized for, in GB.
        free_bytes: Of the GPU.

    Raises:
        GuardError: It has not.
    """
    if free_bytes < needed_gb * 1e9:
        raise GuardError(
            f"The plans need about {needed_gb:.1f} GB of GPU memory and {free_bytes / 1e9:.1f} GB "
            "are free: stop what else uses this GPU (nvidia-smi shows it), take a larger one, or "
            "lower protocol.planning.gpu_memory_target_gb."
        )


def check_disk(folder: Path, needed_bytes: int) -> None:
    """Make sure that the disk has room for a fold's checkpoints.

    Args:
        folder: Where they are written.
        needed_bytes: From `checkpoint_bytes`.

    Raises:
        GuardError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise GuardError(
            f"{folder} needs about {needed_bytes / 1e9:.3f} GB for its checkpoints and "
            f"{free / 1e9:.3f} GB are free: make room, then run the same command again."
        )


def checkpoint_bytes(network: torch.nn.Module, optimiser: str) -> int:
    """Room that a fold's checkpoints take: weights and the optimiser's state, in every file.

    Args:
        network: The network to be trained.
        optimiser: `sgd` or `adam`.
    """
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    states = {"sgd": 1, "adam": 2}[optimiser]
    return _CHECKPOINT_FILES * weights * (1 + states)


def _named(cases: Sequence[str]) -> str:
    more = f" and {len(cases) - _N_NAMED} more" if len(cases) > _N_NAMED else ""
    return ", ".join(cases[:_N_NAMED]) + more
