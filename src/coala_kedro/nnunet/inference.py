"""Prediction of one scan by a trained cascade, all folds together."""

from __future__ import annotations

import functools
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
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
    properties = {"spacing": [float(np.float32(mm)) for mm in spacing_zyx_mm(turned)]}
    with redirect_stdout(StringIO()):
        lowres = _predictor(model, model.stage_folder("lowres"), inference, compute)
        crlm = {ours: theirs for theirs, ours in model.labels}[CRLM]
        first, _ = _segment(lowres, crlm, voxels, properties, earlier=None)
        cascade = _predictor(model, model.stage_folder("cascade"), inference, compute)
        label_map, votes = _segment(cascade, crlm, voxels, properties, earlier=first)
    label_map = _translated(label_map, model.labels)
    made = {LABEL_MAP: label_map, FOLD_VOTES: votes}
    return {name: put_back(image_like(array, turned), image) for name, array in made.items()}


@functools.lru_cache(maxsize=2)
def _predictor(
    model: TrainedModel, folder: Path, inference: Inference, compute: Compute
) -> nnUNetPredictor:
    """A stage's predictor; both stages of a model stay in memory from scan to scan."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    for fold in model.folds:
        check_weights(folder / f"fold_{fold}" / FINAL)  # nnU-Net would run what code they hold
    check_plans(folder / "plans.json")
    predictor = nnUNetPredictor(
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
    properties: dict,
    earlier: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Label map and fold votes on the scan's grid (zyx), in the steps of stock nnU-Net.

    Labels are the model's; `crlm` is its id of CRLM.
    """
    from nnunetv2.inference.export_prediction import (
        convert_predicted_logits_to_segmentation_with_correct_shape as to_label_map,
    )
    from nnunetv2.utilities.label_handling.label_handling import (
        convert_labelmap_to_one_hot,
    )

    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    labels = plans.get_label_manager(predictor.dataset_json)
    data, segmentation, properties = configuration.preprocessor_class(verbose=False).run_case_npy(
        voxels.copy(),
        None if earlier is None else earlier[None].astype(np.float32),
        dict(properties),
        plans,
        configuration,
        predictor.dataset_json,
    )
    if earlier is not None:
        one_hot = convert_labelmap_to_one_hot(segmentation[0], labels.foreground_labels, data.dtype)
        data = np.vstack((data, one_hot))
    logits, votes = _ensemble(predictor, crlm, data)
    label_map = to_label_map(logits, plans, configuration, labels, properties)
    return label_map, _votes_on_scan(votes, predictor, properties)


def _ensemble(predictor: nnUNetPredictor, crlm: int, data: np.ndarray) -> tuple[Any, np.ndarray]:
    """Mean logits of the folds as nnU-Net averages them, and each voxel's votes for CRLM."""
    import torch

    tensor, total = torch.from_numpy(data), None
    votes = torch.zeros(tensor.shape[1:], dtype=torch.uint8)
    network = getattr(predictor.network, "_orig_mod", predictor.network)  # when compiled
    with torch.inference_mode():
        for weights in predictor.list_of_parameters:
            network.load_state_dict(weights)
            logits = predictor.predict_sliding_window_return_logits(tensor).to("cpu")
            votes += logits.argmax(0) == crlm
            total = logits if total is None else total.add_(logits)
        assert total is not None, "a model has at least one fold"
        if len(predictor.list_of_parameters) > 1:
            total /= len(predictor.list_of_parameters)
    return total, votes.numpy()


def _votes_on_scan(votes: np.ndarray, predictor: nnUNetPredictor, properties: dict) -> np.ndarray:
    """Resample the votes as one channel: five label maps would cost five times fourteen."""
    from acvl_utils.cropping_and_padding.bounding_boxes import (
        insert_crop_into_image,
    )

    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    shape = properties["shape_after_cropping_and_before_resampling"]
    resampled = configuration.resampling_fn_probabilities(
        votes[None].astype(np.float32), shape, configuration.spacing, spacing
    )
    whole = np.zeros(properties["shape_before_cropping"], np.uint8)
    cropped = np.rint(np.asarray(resampled[0])).clip(0, len(predictor.list_of_parameters))
    insert_crop_into_image(whole, cropped.astype(np.uint8), properties["bbox_used_for_cropping"])
    return whole.transpose(plans.transpose_backward)
