"""What a model must have, and the node that lets it predict a cohort's scans."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Protocol

import pandas as pd
import SimpleITK as sitk

from coala_kedro.anatomy import STRUCTURE_IDS, STRUCTURES
from coala_kedro.cohort import scans_with_role
from coala_kedro.fingerprint import recipe
from coala_kedro.imaging.geometry import Grid, grid_differences
from coala_kedro.models.parameters import Compute, Inference

LABEL_MAP, FOLD_VOTES = "label_maps", "fold_votes"
"""The two volumes of a prediction, and the folders that they are kept in."""


class PredictionError(ValueError):
    """A model made what the study cannot use; the message says what is wrong."""


class Scan(Protocol):
    """A CT scan in a file."""

    def __call__(self) -> sitk.Image:
        """Read its voxels, in HU."""

    def grid(self) -> Grid:
        """Read its grid alone."""


class SegmentationModel(Protocol):
    """A model that predicts the label map of a scan; what a catalog entry of one loads.

    It is pickled where scans are predicted in other processes.
    """

    @property
    def fingerprint(self) -> str:
        """Tells the model from any other; predictions are made again when it changes."""

    @property
    def n_folds(self) -> int:
        """Number of networks that vote for CRLM; 1 if the model is no ensemble."""

    def predict(
        self, scan: Scan, inference: Inference, compute: Compute
    ) -> Mapping[str, sitk.Image]:
        """Predict one scan.

        Args:
            scan: Reads the CT; in whatever orientation it is stored.
            inference: Tiling and mirroring, for networks that know them.
            compute: The machine, for models that need to know it.

        Returns:
            On the scan's grid, uint8: `label_maps`, ids as in `anatomy.STRUCTURES`, and
            `fold_votes`, for each voxel how many of the folds call it CRLM.
        """


@recipe("prediction", structures=STRUCTURE_IDS)
def predict_scan(
    model: SegmentationModel, scan: Scan, inference: Inference, compute: Compute
) -> Mapping[str, sitk.Image]:
    """Let a model predict a scan, and check what it made.

    Args:
        model: Predicts it.
        scan: Reads the CT.
        inference: Tiling and mirroring.
        compute: The machine.

    Returns:
        See `SegmentationModel.predict`.

    Raises:
        PredictionError: A volume is missing, of another type, or on another grid than the scan, or
            it has values that stand for nothing.
    """
    made = model.predict(scan, inference, compute)
    highest = {LABEL_MAP: max(s.id for s in STRUCTURES), FOLD_VOTES: model.n_folds}
    if {*made} != {*highest}:
        raise PredictionError(
            f"The model made the volumes {sorted(made)}: `predict` must return {[*highest]}."
        )
    for name, most in highest.items():
        image = made[name]
        if wrong := grid_differences(image, scan.grid()):
            raise PredictionError(
                f"`{name}` of the model is not on the scan's grid, {'; '.join(wrong)}: let "
                "`predict` put it there."
            )
        if image.GetPixelID() != sitk.sitkUInt8 or sitk.GetArrayViewFromImage(image).max() > most:
            raise PredictionError(
                f"`{name}` of the model is of type {image.GetPixelIDTypeAsString()}, its highest "
                f"value {sitk.GetArrayViewFromImage(image).max()}: let `predict` make 8-bit "
                f"unsigned integers from 0 to {most}."
            )
    return made


def predictions(
    model: SegmentationModel, scans: Mapping[str, Scan], inference: Inference, compute: Compute
) -> dict[str, Callable[[], Mapping[str, sitk.Image]]]:
    """Recipes by scan id; each makes what `predict_scan` returns.

    Args:
        model: Predicts them.
        scans: CT by scan id.
        inference: Tiling and mirroring.
        compute: The machine.
    """
    return {
        scan_id: functools.partial(predict_scan, model, scan, inference, compute)
        for scan_id, scan in scans.items()
    }


def predict(
    accepted_scans: pd.DataFrame,
    scans: Mapping[str, Scan],
    model: SegmentationModel,
    inference: Inference,
    compute: Compute,
    role: str,
) -> dict[str, Callable[[], Mapping[str, sitk.Image]]]:
    """Predict the scans of one role.

    Args:
        accepted_scans: The study's scans.
        scans: CT by scan id.
        model: Predicts them.
        inference: Tiling and mirroring.
        compute: The machine.
        role: `unlabelled` or `test`.

    Returns:
        Recipes by scan id; each makes a label map and the folds' votes for CRLM, see
        `SegmentationModel.predict`.
    """
    chosen = {scan_id: scans[scan_id] for scan_id in scans_with_role(accepted_scans, role)}
    return predictions(model, chosen, inference, compute)
