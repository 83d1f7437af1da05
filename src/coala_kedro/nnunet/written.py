"""What nnU-Net wrote, looked at before it counts as done.

Its label maps go through SimpleITK, whose NIfTI writer tells nobody of a full disk: what was cut
off would be read as background, and its Dice measured on that.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from coala_kedro.disk import force_to_disk, room_in
from coala_kedro.imaging.files import VolumeError, check_content, read_grid
from coala_kedro.nnunet.workspace import FILE_ENDING, preprocessed_dataset

if TYPE_CHECKING:
    from coala_kedro.nnunet.trainer import FoldTrainer

SUMMARY = "summary.json"
_FAULTS = (VolumeError, OSError, RuntimeError, ValueError, EOFError, pickle.PickleError)
_VOXEL_BYTES = 6  # preprocessed: HU as float32, labels as int16


class WrittenError(RuntimeError):
    """A file that nnU-Net wrote is not whole; the message names it."""


def check_written(files: Iterable[Path]) -> None:
    """Read files of nnU-Net again and force them to the disk.

    Args:
        files: `.nii.gz`, `.b2nd`, `.pkl` and `.json`; others are forced to the disk alone.

    Raises:
        WrittenError: One is absent, cut or damaged.
    """
    for path in files:
        try:
            _read(path)
            force_to_disk(path)
        except _FAULTS as e:
            raise WrittenError(
                f"{path} was not written whole ({e}): run the same command again."
            ) from e


def is_whole(path: Path) -> bool:
    """Whether a file of nnU-Net is there and can be read to its end.

    Args:
        path: As of `check_written`.
    """
    try:
        _read(path)
    except _FAULTS:
        return False
    return path.is_file()


def _read(path: Path) -> None:
    if path.name.endswith(FILE_ENDING):
        check_content(path)
    elif path.suffix == ".b2nd":
        from blosc2 import open as open_array

        array = open_array(str(path), mode="r")
        for n in range(array.schunk.nchunks):
            array.schunk.decompress_chunk(n)
    elif path.suffix == ".pkl":
        pickle.loads(path.read_bytes())
    elif path.suffix == ".json":
        json.loads(path.read_bytes())


def validate(
    trainer: FoldTrainer, prepared: Path, cases: Iterable[str], handed_on: Path | None
) -> None:
    """Run nnU-Net's final validation, and look whether all that it wrote is whole.

    Args:
        trainer: At the end of its training.
        prepared: The prepared folder.
        cases: The fold's validation scans.
        handed_on: Where it writes for the next stage; None if there is none.

    Raises:
        DiskFullError: The disk is full; the training is kept, and only this is done again.
        WrittenError: Something is not whole, though the disk has room.
    """
    cases, folder = [*cases], Path(trainer.output_folder) / "validation"
    folder.mkdir(exist_ok=True)
    truth = preprocessed_dataset(prepared) / "gt_segmentations"
    volumes = [folder / f"{case}{FILE_ENDING}" for case in cases]
    further = [handed_on / f"{case}.b2nd" for case in cases] if handed_on else []

    def needed() -> int:
        return voxels_of(truth / path.name for path in volumes) * (2 if handed_on else 1)

    with room_in(folder, "the validation, uncompressed,", needed):
        trainer.perform_actual_validation(save_probabilities=False)
        check_written([*volumes, *further, folder / SUMMARY])


def voxels_of(files: Iterable[Path]) -> int:
    """Number of voxels of all volumes together, from their headers.

    Args:
        files: The volumes.
    """
    return sum(math.prod(read_grid(path).GetSize()) for path in files)


def preprocessed_bytes(label_maps: Iterable[Path]) -> int:
    """Room that preprocessed scans take at most, about: both stages, uncompressed.

    Args:
        label_maps: Files of the scans' label maps.
    """
    return 2 * _VOXEL_BYTES * voxels_of(label_maps)
