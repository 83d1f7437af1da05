"""The node that lets a trained model predict a cohort's scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import SimpleITK as sitk

from coala_kedro.cohort import scans_with_role
from coala_kedro.datasets import LazyVolume
from coala_kedro.nnunet.inference import predictions
from coala_kedro.nnunet.model import TrainedModel
from coala_kedro.nnunet.settings import Compute, Inference


def predict(
    accepted_scans: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    model: TrainedModel,
    inference: Inference,
    compute: Compute,
    role: str,
) -> dict[str, Callable[[], dict[str, sitk.Image]]]:
    """Predict the scans of one role with all folds of both stages.

    Args:
        accepted_scans: The study's scans.
        scans: CT by scan id.
        model: Predicts them.
        inference: Tiling and mirroring.
        compute: The machine.
        role: `unlabelled` or `test`.

    Returns:
        Recipes by scan id; each makes a label map and the folds' votes for CRLM, see
        `nnunet.inference.predict_scan`.
    """
    chosen = {scan_id: scans[scan_id] for scan_id in scans_with_role(accepted_scans, role)}
    return predictions(model, chosen, inference, compute)
