"""Contrast phase of a scan, as TotalSegmentator's `get_ct_contrast_phase` tells it.

The tool takes the median HU of twenty organs and vessels on the 3 mm segmentation; five gradient
boosted regressions, which come with the package, tell the seconds since the injection from them.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import cast

import SimpleITK as sitk

from coala_kedro.imaging.geometry import upright
from coala_kedro.organs.process import process_for
from coala_kedro.organs.segmenter import OrganSegmenterError, Phase, PhaseName
from coala_kedro.organs.totalsegmentator import (
    CROP_3MM_MODEL,
    MODEL_FOLDERS,
    TotalSegmentator,
    check_models,
)
from coala_kedro.organs.worker import HEAD_MODELS

logger = logging.getLogger(__name__)


def contrast_phase(
    scan: sitk.Image,
    device: str = "auto",
    weights_path: str | None = None,
    scan_id: str = "without a name",
) -> Phase | None:
    """Tell the contrast phase of a scan, in the process that TotalSegmentator runs in.

    Args:
        scan: CT in HU, three-dimensional.
        device: As of `TotalSegmentator`.
        weights_path: As of `TotalSegmentator`; the model of its `fast` is needed, and for a scan
            that shows the brain those of the head and neck.
        scan_id: Name of the scan, for messages.

    Returns:
        The phase; None if `phase_tool_available` says no, which is logged once, or if the tool
        finds no liver: it would call a scan that shows it nothing `native`, and be sure of it.

    Raises:
        OrganSegmenterError: Weights are missing, or the tool fails.
    """
    if not phase_tool_available():
        return None
    weights = TotalSegmentator(device=device, weights_path=weights_path, fast=True).find_weights()
    check_models(weights, MODEL_FOLDERS[CROP_3MM_MODEL], *HEAD_MODELS.values())
    settings = {"weights": str(weights.absolute()), "device": device}
    try:
        result = process_for(device).contrast_phase(scan_id, upright(scan), settings)
    except OrganSegmenterError as error:
        raise OrganSegmenterError(
            f"{error}\nThis was the check of the contrast phase. Is it a CT of the abdomen, in HU, "
            "and does TotalSegmentator run here otherwise? To do without the check, set "
            "screening.severity.contrast_phase to 'ignore'."
        ) from error
    if result is None:
        return None
    return Phase(cast(PhaseName, result["phase"]), float(result["probability"]))


def phase_tool_available() -> bool:
    """Whether what the tool needs beside TotalSegmentator is installed; told once if it is not."""
    available = importlib.util.find_spec("xgboost") is not None
    if not available:
        _tell_absence()
    return available


@functools.cache
def _tell_absence() -> None:
    logger.warning(
        "The contrast phase of the scans is not checked, for xgboost is not installed. "
        "To have it checked: pip install '.[phase]'."
    )
