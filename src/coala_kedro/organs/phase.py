"""Contrast phase of a scan, as TotalSegmentator's `get_ct_contrast_phase` tells it.

The tool takes the median HU of twenty organs and vessels on the 3 mm segmentation; five gradient
boosted regressions, which come with the package, tell the seconds since the injection from them.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from dataclasses import dataclass
from typing import Literal, cast

import SimpleITK as sitk

from coala_kedro.organs.process import process_for
from coala_kedro.organs.segmenter import OrganSegmenterError
from coala_kedro.organs.totalsegmentator import TotalSegmentator

PhaseName = Literal["native", "arterial_early", "arterial_late", "portal_venous"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """A contrast phase.

    Attributes:
        name: A delayed phase is called `portal_venous` too, with a probability of 0.3.
        probability: 0.3, 0.7 or 1: how far the time since the injection lies from the next phase.
    """

    name: PhaseName
    probability: float


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
        _tell_absence()
        return None
    weights = TotalSegmentator(device=device, weights_path=weights_path, fast=True).find_weights()
    settings = {"weights": str(weights.absolute()), "device": device}
    try:
        result = process_for(device).contrast_phase(scan_id, scan, settings)
    except OrganSegmenterError as error:
        raise OrganSegmenterError(
            f"{error}\nThis was the check of the contrast phase. Is it a CT of the abdomen, in HU, "
            "and does TotalSegmentator run here otherwise? To do without the check, uninstall "
            "xgboost (or xgboost-cpu)."
        ) from error
    if result is None:
        return None
    return Phase(cast(PhaseName, result["phase"]), float(result["probability"]))


def phase_tool_available() -> bool:
    """Whether what the tool needs beside TotalSegmentator, xgboost, is installed."""
    return importlib.util.find_spec("xgboost") is not None


@functools.cache
def _tell_absence() -> None:
    logger.warning(
        "The contrast phase of the scans is not checked, for xgboost is not installed. "
        "To have it checked: pip install xgboost-cpu (on a Mac: xgboost)."
    )
