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

    from coala_kedro.nnunet.model import TrainedModel
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
        crlm = {ours: theirs for theirs, ours in model.labels}[CRLM]
        first, _ = _segment(lowres, crlm, voxels, spacing, earlier=None)
        cascade = _predictor(model, model.stage_folder("cascade"), inference, compute)
        label_map, votes = _segment(cascade, crlm, voxels, spacing, earlier=first)
    label_map = _translated(label_map, model.labels)
    made = {LABEL_MAP: label_map, FOLD_VOTES: votes}
    return {name: put_back(image_like(array, turned), image) for name, array in made.items()}


@functools.lru_cache(maxsize=2)
def _predictor(
    model: TrainedModel, folder: Path, inference: Inference, compute: Compute
) -> nnUNetPredictor:
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
    predictor: nnUNetPredictor,
    crlm: int,
    voxels: np.ndarray,
    spacing: Sequence[float],
    earlier: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Label map and fold votes on the scan's grid (zyx), in the steps of stock nnU-Net.

    Labels are the model's; `crlm` is its id of CRLM.
    """
    from acvl_utils.cropping_and_padding.bounding_boxes import insert_crop_into_image

    from coala_kedro.nnunet.resampling import Resampling

    plans, stage = predictor.plans_manager, predictor.configuration_manager
    resampling = Resampling(stage)
    prepared = _prepared(predictor, resampling, voxels, spacing, earlier)
    logits, votes = _ensemble(predictor, crlm, prepared.data)
    target = prepared.shape_cropped, stage.spacing, prepared.spacing
    on_scan = []
    for cropped in (resampling.label_map(logits, *target), resampling.counts(votes, *target)):
        whole = np.zeros(prepared.shape, np.uint8)
        insert_crop_into_image(whole, cropped, prepared.box)
        on_scan.append(whole.transpose(plans.transpose_backward))
    return on_scan[0], on_scan[1]


def _ensemble(predictor: nnUNetPredictor, crlm: int, data: np.ndarray) -> tuple[Any, Any]:
    """Mean logits of the folds as nnU-Net averages them, and each voxel's votes for CRLM."""
    import torch

    from coala_kedro.nnunet.resampling import is_largest

    tensor, total = torch.from_numpy(data), None
    votes = torch.zeros(tensor.shape[1:], dtype=torch.uint8)
    network = getattr(predictor.network, "_orig_mod", predictor.network)  # when compiled
    with torch.inference_mode():
        for weights in predictor.list_of_parameters:
            network.load_state_dict(weights)
            logits = predictor.predict_sliding_window_return_logits(tensor).to("cpu")
            votes += is_largest(logits, crlm)
            total = logits if total is None else total.add_(logits)
        assert total is not None, "a model has at least one fold"
        if len(predictor.list_of_parameters) > 1:
            total /= len(predictor.list_of_parameters)
    return total, votes


@dataclass(frozen=True)
class _Prepared:
    """A scan as a stage's networks take it, and how it lies in the scan.

    Attributes:
        data: Voxels, and for the cascade a channel for each label of the first stage.
        shape: Of the scan, in the order of axes of the plans.
        shape_cropped: Of its part that was not zero, before it was resampled.
        box: Where that part lies.
        spacing: In mm.
    """

    data: np.ndarray
    shape: tuple[int, ...]
    shape_cropped: tuple[int, ...]
    box: Any
    spacing: list[float]


def _prepared(
    predictor: nnUNetPredictor,
    resampling: Resampling,
    voxels: np.ndarray,
    spacing: Sequence[float],
    earlier: np.ndarray | None,
) -> _Prepared:
    """The steps of nnU-Net's `DefaultPreprocessor.run_case_npy`, but for what training needs."""
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
    from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot

    plans, stage = predictor.plans_manager, predictor.configuration_manager
    axes = [0, *(axis + 1 for axis in plans.transpose_forward)]
    spacing = [spacing[axis] for axis in plans.transpose_forward]
    scan = voxels.transpose(axes)
    labels = None if earlier is None else earlier[None].astype(np.int16).transpose(axes)
    cropped, labels, box = crop(scan, labels)
    normalised = stage.preprocessor_class(verbose=False)._normalize(
        cropped.copy(), labels, stage, plans.foreground_intensity_properties_per_channel
    )
    shape = compute_new_shape(cropped.shape[1:], spacing, stage.spacing)
    data = resampling.scan(normalised, shape, spacing, stage.spacing)
    if earlier is not None:
        labels = resampling.labels(labels, shape, spacing, stage.spacing)
        known = plans.get_label_manager(predictor.dataset_json).foreground_labels
        data = np.vstack((data, convert_labelmap_to_one_hot(labels[0], known, data.dtype)))
    return _Prepared(data, scan.shape[1:], cropped.shape[1:], box, spacing)


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
    zero, _ = scipy.ndimage.label(cropped[0] == 0)
    sides = [zero.take(end, axis) for axis in range(3) for end in (0, -1)]
    open_ = np.zeros(int(zero.max()) + 1, bool)
    open_[np.unique(np.concatenate([side.ravel() for side in sides]))] = True
    open_[0] = False
    kept[0][open_[zero] & (kept[0] == 0)] = -1
    return cropped, kept, box
