"""Prediction of one scan by a trained cascade, all folds together."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import SimpleITK as sitk

from coala_kedro.anatomy import CRLM
from coala_kedro.imaging.geometry import image_like, oriented, put_back, spacing_zyx_mm
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import FOLD_VOTES, LABEL_MAP, Scan
from coala_kedro.nnunet.checkpoints import FINAL
from coala_kedro.nnunet.process import choose_device
from coala_kedro.weights import check_plans, check_weights

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from coala_kedro.nnunet.model import TrainedModel
    from coala_kedro.nnunet.predictor import FoldsPredictor
    from coala_kedro.nnunet.resampling import Resampling


def predict_cascade(
    model: TrainedModel, scan: Scan, inference: Inference, compute: Compute
) -> dict[str, sitk.Image]:
    """Predict a scan, in nnU-Net's process; see `TrainedModel.predict`.

    Args:
        model: The cascade.
        scan: Reads the CT, in HU.
        inference: Tiling and mirroring.
        compute: The machine.
    """
    image = scan()
    turned = oriented(image, model.orientation)
    voxels = sitk.GetArrayFromImage(turned)[None].astype(np.float32)
    # Single precision, as NIfTI has it: a scan from DICOM is resampled to the same size.
    spacing = [float(np.float32(mm)) for mm in spacing_zyx_mm(turned)]
    with redirect_stdout(StringIO()):
        lowres = _predictor(model, model.stage_folder("lowres"), inference, compute)
        first, _ = _segment(lowres, None, voxels, spacing, earlier=None)
        crlm = {ours: theirs for theirs, ours in model.labels}[CRLM]
        cascade = _predictor(model, model.stage_folder("cascade"), inference, compute)
        label_map, votes = _segment(cascade, crlm, voxels, spacing, earlier=first)
    label_map = _translated(label_map, model.labels)
    made = {LABEL_MAP: label_map, FOLD_VOTES: votes}
    return {name: put_back(image_like(array, turned), image) for name, array in made.items()}


@functools.lru_cache(maxsize=2)
def _predictor(
    model: TrainedModel, folder: Path, inference: Inference, compute: Compute
) -> FoldsPredictor:
    """A stage's predictor; both stages of a model stay in memory from scan to scan."""
    import torch

    from coala_kedro.nnunet.predictor import FoldsPredictor

    for fold in model.folds:
        check_weights(folder / f"fold_{fold}" / FINAL)  # nnU-Net would run what code they hold
    check_plans(folder / "plans.json")
    predictor = FoldsPredictor(
        tile_step_size=inference.tile_step_size,
        use_mirroring=inference.mirroring,
        device=torch.device(choose_device(compute)),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(folder), model.folds)
    return predictor


def _translated(label_map: np.ndarray, labels: tuple[tuple[int, int], ...]) -> np.ndarray:
    """A model's label map in our ids."""
    ours = np.zeros(max(theirs for theirs, _ in labels) + 1, np.uint8)
    for theirs, our in labels:
        ours[theirs] = our
    return ours[label_map]


def _segment(
    predictor: FoldsPredictor,
    crlm: int | None,
    voxels: np.ndarray,
    spacing: Sequence[float],
    earlier: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Label map and fold votes on the scan's grid (zyx), in the steps of stock nnU-Net.

    Labels are the model's; `crlm` is its id of CRLM, or none if nobody asks for votes.
    """
    import torch

    from coala_kedro.nnunet.resampling import Resampling

    stage = predictor.configuration_manager
    resampling = Resampling(stage)
    prepared = _prepared(predictor, resampling, voxels, spacing, earlier)
    labels = None if prepared.labels is None else torch.from_numpy(prepared.labels)
    made = resampling.label_map(
        predictor.slabs(torch.from_numpy(prepared.voxels), labels, crlm),
        prepared.voxels.shape[1:],
        prepared.cropped.shape,
        stage.spacing,
        prepared.cropped.spacing,
    )
    label_map, votes = (prepared.cropped.put_back(predictor.plans_manager, array) for array in made)
    return label_map, votes


@dataclass(frozen=True)
class Cropped:
    """How the part of a scan that the networks see lies in the scan.

    Attributes:
        whole: Shape of the scan, in the order of axes of the plans.
        shape: Of its part that was not zero, before it was resampled.
        box: Where that part lies.
        spacing: In mm.
    """

    whole: tuple[int, ...]
    shape: tuple[int, ...]
    box: Any
    spacing: list[float]

    def put_back(self, plans: PlansManager, part: np.ndarray) -> np.ndarray:
        """An array of the part, on the whole scan's grid and in its order of axes.

        Args:
            plans: They say how axes were ordered.
            part: Of shape `shape`.
        """
        from acvl_utils.cropping_and_padding.bounding_boxes import insert_crop_into_image

        whole = np.zeros(self.whole, np.uint8)
        insert_crop_into_image(whole, part, self.box)
        return whole.transpose(plans.transpose_backward)


@dataclass(frozen=True)
class _Prepared:
    """A scan as a stage's networks take it.

    Attributes:
        voxels: Of shape (1, z, y, x).
        labels: Of the first stage, of shape (z, y, x); none for the first stage itself.
        cropped: How they lie in the scan.
    """

    voxels: np.ndarray
    labels: np.ndarray | None
    cropped: Cropped


def _prepared(
    predictor: nnUNetPredictor,
    resampling: Resampling,
    voxels: np.ndarray,
    spacing: Sequence[float],
    earlier: np.ndarray | None,
) -> _Prepared:
    """The steps of nnU-Net's `DefaultPreprocessor.run_case_npy`, but for what training needs."""
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

    plans, stage = predictor.plans_manager, predictor.configuration_manager
    axes = [0, *(axis + 1 for axis in plans.transpose_forward)]
    spacing = [spacing[axis] for axis in plans.transpose_forward]
    scan = voxels.transpose(axes)
    labels = None if earlier is None else earlier[None].astype(np.int16).transpose(axes)
    part, labels, box = crop(scan, labels)
    shape = compute_new_shape(part.shape[1:], spacing, stage.spacing)
    normalised = stage.preprocessor_class(verbose=False)._normalize(
        part.copy(), labels, stage, plans.foreground_intensity_properties_per_channel
    )
    data = resampling.scan(normalised, shape, spacing, stage.spacing)
    cropped = Cropped(scan.shape[1:], part.shape[1:], box, spacing)
    if earlier is None:
        return _Prepared(data, None, cropped)
    return _Prepared(data, resampling.labels(labels, shape, spacing, stage.spacing)[0], cropped)


def crop(
    scan: np.ndarray, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Crop to what is not zero, as nnU-Net's `crop_to_nonzero`, which fills holes for a second.

    Args:
        scan: Of shape (1, z, y, x).
        labels: Likewise; none is as if all were 0.

    Returns:
        Both cropped, the labels -1 where they are 0 and the scan is zero out to a side; the box.
    """
    from acvl_utils.cropping_and_padding.bounding_boxes import (
        bounding_box_to_slice,
        get_bbox_from_mask,
    )

    box = get_bbox_from_mask(scan[0] != 0)
    inside = (slice(None), *bounding_box_to_slice(box))
    cropped = scan[inside]
    kept = np.zeros(cropped.shape, np.int16) if labels is None else labels[inside].copy()
    is_zero = cropped[0] == 0
    sides = [(axis, end) for axis in range(3) for end in (0, -1)]
    if any(is_zero.take(end, axis).any() for axis, end in sides):  # in most CT nothing is at a side
        zero, _ = scipy.ndimage.label(is_zero)
        open_ = np.zeros(int(zero.max()) + 1, bool)
        open_[np.unique(np.concatenate([zero.take(end, axis).ravel() for axis, end in sides]))] = (
            True
        )
        open_[0] = False
        kept[0][open_[zero] & (kept[0] == 0)] = -1
    return cropped, kept, box
