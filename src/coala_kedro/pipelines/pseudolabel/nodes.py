"""Steps of pseudo-labelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from coala_kedro.anatomy import STRUCTURE_IDS
from coala_kedro.datasets import LazyVolume
from coala_kedro.datasets.grouping import part_of
from coala_kedro.fingerprint import recipe
from coala_kedro.imaging.geometry import image_like, volume_ml_per_voxel
from coala_kedro.imaging.label_map import compose_label_map, crlm_mask
from coala_kedro.imaging.lesions import label_lesions
from coala_kedro.models.prediction import FOLD_VOTES, LABEL_MAP, SegmentationModel


class PseudoLabelling(BaseModel):
    """What becomes of the teacher's predictions.

    Attributes:
        organs_from: `segmenter` takes the organs as for outlined scans, and CRLM from the teacher
            (as the paper does); `teacher` takes all from the teacher.
        min_fold_agreement: A scan whose folds agree less on CRLM is left out; 0 keeps all, as the
            paper does. A scan in which no fold sees CRLM has no agreement and is kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    organs_from: Literal["segmenter", "teacher"] = "segmenter"
    min_fold_agreement: float = Field(0.0, ge=0, le=1)


def compose_pseudo_label_maps(
    predictions: Mapping[str, LazyVolume],
    organ_masks: Mapping[str, LazyVolume],
    pseudolabel: PseudoLabelling,
) -> dict[str, Callable[[], sitk.Image]]:
    """Compose label maps of the teacher's CRLM and of organs.

    Args:
        predictions: Label maps and votes, keyed `<name>/<scan_id>`.
        organ_masks: Of the organ segmenter, by scan id.
        pseudolabel: Whether the organs are the segmenter's or the teacher's.

    Returns:
        Recipes by scan id; each makes a label map of thirteen structures.
    """
    from_segmenter = pseudolabel.organs_from == "segmenter"
    return {
        scan_id: partial(_pseudo_label_map, label_map, organ_masks[scan_id])
        if from_segmenter
        else label_map
        for scan_id, label_map in part_of(predictions, LABEL_MAP).items()
    }


@recipe("pseudo_label_map", structures=STRUCTURE_IDS)
def _pseudo_label_map(label_map: LazyVolume, organ_mask: LazyVolume) -> sitk.Image:
    predicted = label_map()
    return compose_label_map(organ_mask(), image_like(crlm_mask(predicted), predicted))


def review_pseudo_labels(
    predictions: Mapping[str, LazyVolume],
    pseudo_label_maps: Mapping[str, LazyVolume],
    model: SegmentationModel,
    pseudolabel: PseudoLabelling,
) -> pd.DataFrame:
    """Measure each pseudo-label and how far the folds agree on it, and decide whether it is used.

    Args:
        predictions: Label maps and votes, keyed `<name>/<scan_id>`.
        pseudo_label_maps: By scan id.
        model: The teacher.
        pseudolabel: The least agreement.

    Returns:
        One row a scan: `scan_id, n_lesions, crlm_ml, fold_agreement, accepted, reason`. The
        agreement is the Dice of all pairs of folds, pooled: 1 where all draw the same CRLM.
    """
    votes, rows = part_of(predictions, FOLD_VOTES), []
    for scan_id, label_map in tqdm(pseudo_label_maps.items(), desc="review", disable=None):
        image = label_map()
        crlm = crlm_mask(image)
        agreement = fold_agreement(sitk.GetArrayFromImage(votes[scan_id]()), model.n_folds)
        # Where no fold sees CRLM this is NaN, and the scan is kept.
        refused = agreement < pseudolabel.min_fold_agreement
        rows.append(
            {
                "scan_id": scan_id,
                "n_lesions": label_lesions(crlm)[1],
                "crlm_ml": crlm.sum() * volume_ml_per_voxel(image),
                "fold_agreement": agreement,
                "accepted": not refused,
                "reason": f"folds agree less than {pseudolabel.min_fold_agreement}"
                if refused
                else "accepted",
            }
        )
    columns = ["scan_id", "n_lesions", "crlm_ml", "fold_agreement", "accepted", "reason"]
    return pd.DataFrame(rows, columns=columns)


def fold_agreement(votes: np.ndarray, n_folds: int) -> float:
    """Dice of all pairs of folds, pooled, from each voxel's number of votes.

    With v votes at a voxel, v(v-1)/2 pairs of folds overlap there, and v folds each belong to
    n-1 pairs: so no fold's own mask is needed.

    Args:
        votes: Integer array, 0 … n.
        n_folds: n.

    Returns:
        0 … 1; NaN where no fold sees CRLM, or there is only one fold.
    """
    votes = votes.astype(np.int64)
    total = votes.sum()
    if total == 0 or n_folds == 1:
        return float("nan")
    return float((votes * (votes - 1)).sum() / ((n_folds - 1) * total))
