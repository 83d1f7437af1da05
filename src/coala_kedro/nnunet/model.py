"""A trained model: a stock nnU-Net folder with a lowres and a cascade stage."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from coala_kedro.anatomy import CRLM, LABELS, STRUCTURES
from coala_kedro.fingerprint import fingerprint
from coala_kedro.imaging.files import read_grid
from coala_kedro.imaging.geometry import CANONICAL, orientation_of
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import Scan
from coala_kedro.nnunet.checkpoints import FINAL
from coala_kedro.nnunet.inference import predict_cascade
from coala_kedro.nnunet.process import in_own_process
from coala_kedro.nnunet.workspace import (
    CONFIGURATIONS,
    FILE_ENDING,
    ORIENTATION,
    Stage,
    model_folder_name,
)

ORIENTATIONS = frozenset(
    "".join(axes)
    for sides in itertools.permutations(("LR", "PA", "SI"))
    for axes in itertools.product(*sides)
)
"""All 48, as `geometry.orientation_of` tells them."""
_ORIENTATION_OF_READER = {"NibabelIOWithReorient": "RAS"}
_NOTHING = "background"
(_LESIONS,) = (structure.name for structure in STRUCTURES if structure.id == CRLM)


class ModelError(ValueError):
    """A model folder cannot be used; the message says what is missing."""


@dataclass(frozen=True)
class TrainedModel:
    """A cascade that can predict; a `models.prediction.SegmentationModel`.

    Attributes:
        path: Folder that holds the two stock model folders.
        folds: Folds in the ensemble; `all` is nnU-Net's fold without validation.
        fingerprint: Of what trained it, or of its files.
        labels: Ids of its label map and of ours, pair by pair.
        orientation: That of the scans it was trained on; see `geometry.orientation_of`.
        formerly: The fingerprint that version 0.1.0 gave it, whatever its orientation; empty if
            the same.
    """

    path: Path
    folds: tuple[int | str, ...]
    fingerprint: str
    labels: tuple[tuple[int, int], ...] = tuple((s.id, s.id) for s in STRUCTURES)
    orientation: str = CANONICAL
    formerly: str = ""

    @property
    def former_fingerprint(self) -> str:
        """As version 0.1.0 knew it: it showed every model the voxels as they lay in files."""
        return self.formerly or self.fingerprint

    @property
    def files(self) -> list[Path]:
        """All that it predicts from: plans, descriptions and weights of both stages."""
        return _files(self.path)

    @property
    def n_folds(self) -> int:
        """Number of folds in the ensemble."""
        return len(self.folds)

    def predict(self, scan: Scan, inference: Inference, compute: Compute) -> dict[str, sitk.Image]:
        """Predict a scan as stock nnU-Net does: lowres ensemble, then cascade ensemble on top.

        The networks see the scan in the orientation they were trained in, however it is stored. A
        change of what comes out raises the version of the recipe `prediction`.

        Args:
            scan: Reads the CT, in HU; called in nnU-Net's process.
            inference: Tiling and mirroring.
            compute: The machine.

        Returns:
            On the scan's grid, uint8: `label_maps`, the ensemble's label map (mean logits), and
            `fold_votes`, for each voxel how many of the folds' cascade networks call it CRLM alone.
        """
        return in_own_process(compute, True, predict_cascade, self, scan, inference, compute)

    def stage_folder(self, stage: Stage) -> Path:
        """The stock model folder of a stage, as `nnUNetv2_predict_from_modelfolder` takes it.

        Args:
            stage: `lowres` or `cascade`.
        """
        return _stage_folder(self.path, stage)


def open_model(
    path: Path,
    mark: str | None = None,
    labels: Mapping[str | int, str] | None = None,
    orientation: str | None = None,
) -> TrainedModel:
    """Open a model folder, ours or any stock cascade (COALA's, for one).

    Args:
        path: Folder with one `…__3d_lowres` and one `…__3d_cascade_fullres`, as of nnU-Net.
        mark: Fingerprint of what trained it; without one its plans and checkpoints are read to
            tell it from another.
        labels: Our structure for each of its label ids or names, or `background`. Not needed where
            its names are ours, whatever their ids.
        orientation: That of the scans it was trained on, where its files do not tell; see
            `trained_in`.

    Raises:
        ModelError: A stage, fold or file is missing, it is not known what its labels mean, or it
            was trained in another orientation than the one given.
    """
    path = path.resolve()
    folds = {stage: _folds(_stage_folder(path, stage)) for stage in CONFIGURATIONS}
    if folds["lowres"] != folds["cascade"]:
        raise ModelError(
            f"The model {path} has folds {folds['lowres']} of lowres and {folds['cascade']} of "
            "cascade: finish the training of those that are missing."
        )
    lowres, cascade = (
        translation(_stage_folder(path, stage) / "dataset.json", labels) for stage in CONFIGURATIONS
    )
    if lowres != cascade:
        raise ModelError(f"The stages of {path} have different labels: they are no cascade.")
    lies, above = (trained_in(_stage_folder(path, stage), orientation) for stage in CONFIGURATIONS)
    if lies != above:
        raise ModelError(
            f"The stages of {path} were trained in the orientations {lies} and {above}: they are "
            "no cascade."
        )
    mark = mark or _digest(path)
    read_as = [mark, lowres] if labels else [mark]
    former = fingerprint(read_as) if labels else mark
    now = former if lies == CANONICAL else fingerprint([*read_as, lies])
    return TrainedModel(path, folds["lowres"], now, lowres, lies, former)


def _stage_folder(path: Path, stage: Stage) -> Path:
    found = sorted(path.glob(f"*__{CONFIGURATIONS[stage]}"))
    if len(found) != 1:
        raise ModelError(
            f"There is no trained model in {path}: it needs one folder such as "
            f"{model_folder_name(stage)}, and has {[folder.name for folder in found]}."
        )
    return found[0]


def _folds(folder: Path) -> tuple[int | str, ...]:
    names = sorted(file.parent.name[5:] for file in folder.glob(f"fold_*/{FINAL}"))
    described = all((folder / name).is_file() for name in ("plans.json", "dataset.json"))
    if not names or not described:
        raise ModelError(
            f"There is no trained model in {folder}: it needs plans.json, dataset.json and "
            f"fold_0/{FINAL} … as nnU-Net leaves them."
        )
    numbers = sorted(int(name) for name in names if name != "all")
    return tuple(numbers) or ("all",)


def translation(
    file: Path, labels: Mapping[str | int, str] | None = None
) -> tuple[tuple[int, int], ...]:
    """What each id of a model's label map is in ours.

    Args:
        file: nnU-Net's `dataset.json`.
        labels: See `open_model`.

    Returns:
        Pairs of ids, by the model's.

    Raises:
        ModelError: A label has no meaning, two at once, or none of them is CRLM.
    """
    theirs = json.loads(file.read_text(encoding="utf-8"))["labels"]
    known = f"{file} has the labels {theirs}; a label map of this study has {LABELS}"
    if any(isinstance(value, list) for value in theirs.values()):
        raise ModelError(f"{known}: a model of regions, which overlap, cannot be used.")
    ids = {name: int(value) for name, value in theirs.items() if int(value) != 0}
    meant: dict[str, str | None] = {name: name for name in ids}
    if labels is not None:
        meant = {name: labels.get(name, labels.get(ids[name])) for name in ids}
    if unknown := [name for name, ours in meant.items() if ours not in LABELS]:
        raise ModelError(
            f"{known}. Say what {unknown} are: give the entry `labels`, such as {{13: crlm}}, "
            "with a structure of this study, or background, for each."
        )
    for name, ours in meant.items():
        if name in LABELS and ours not in (name, _NOTHING):
            raise ModelError(f"{known}. The entry says that {name} is {ours}: correct it.")
    if [*meant.values()].count(_LESIONS) != 1:
        raise ModelError(f"{known}. One of its labels must be {_LESIONS}.")
    return tuple(sorted((ids[name], LABELS[str(ours)]) for name, ours in meant.items()))


def trained_in(folder: Path, given: str | None = None) -> str:
    """Orientation of the scans that a stage was trained on.

    Our models say so in `dataset.json`. Of others the plans name the reader: nnU-Net's
    `NibabelIOWithReorient` turns every scan to RAS, and all other readers take scans as they lie
    in their files, which their label maps of the validation, if they are there, still do.

    Args:
        folder: A stock model folder.
        given: The orientation as its makers tell it.

    Returns:
        What its files tell, else what is given, else the canonical one.

    Raises:
        ModelError: Its files tell another than the one given or, with none given, several; or what
            is given is none.
    """
    if given is not None and given not in ORIENTATIONS:
        raise ModelError(
            f"The entry gives the orientation '{given}': give a letter for x, y and z each, the "
            "side that the axis runs to (L or R, P or A, S or I), such as LPS or RAS."
        )
    plans, description = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("plans.json", "dataset.json")
    )
    said = description.get(ORIENTATION) or _ORIENTATION_OF_READER.get(
        plans.get("image_reader_writer")
    )
    told = {said} if said else _validated_in(folder, description.get("file_ending", FILE_ENDING))
    if given is None and len(told) > 1:
        raise ModelError(
            f"{folder} was trained on scans that lay in several orientations, "
            f"{', '.join(sorted(told))}: train it anew, or give the entry the `orientation` that "
            "most scans had."
        )
    if given and told and given not in told:
        raise ModelError(
            f"{folder} was trained in the orientation {', '.join(sorted(told))}, and the entry "
            f"gives {given}: leave `orientation` out."
        )
    return given or next(iter(told), CANONICAL)


def _validated_in(folder: Path, file_ending: str) -> set[str]:
    """Orientations of the label maps that nnU-Net's trainer made of the validation scans."""
    files = folder.glob(f"fold_*/validation/*{file_ending}")
    return {orientation_of(read_grid(file)) for file in files}


def _files(path: Path) -> list[Path]:
    folders = [_stage_folder(path, stage) for stage in CONFIGURATIONS]
    patterns = ("plans.json", "dataset.json", f"fold_*/{FINAL}")
    return [file for f in folders for pattern in patterns for file in sorted(f.glob(pattern))]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(path):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]
