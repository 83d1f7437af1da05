"""Organ segmenters: what outlines the twelve organs on a scan.

`TotalSegmentator` runs the tool of that name, `ExistingMasks` reads masks that it, or a hospital,
has made before, of any format. `worker.py` is the only file that imports totalsegmentator.
"""

from coala_kedro.organs.dataset import OrganSegmenterDataset
from coala_kedro.organs.existing import ExistingMasks
from coala_kedro.organs.segmenter import (
    LEFT_ORGAN_IDS,
    LIVER_ID,
    OrganMaskError,
    OrganSegmenter,
    OrganSegmenterError,
)
from coala_kedro.organs.totalsegmentator import TotalSegmentator

__all__ = [
    "LEFT_ORGAN_IDS",
    "LIVER_ID",
    "ExistingMasks",
    "OrganMaskError",
    "OrganSegmenter",
    "OrganSegmenterDataset",
    "OrganSegmenterError",
    "TotalSegmentator",
]
