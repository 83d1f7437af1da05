"""Organ segmenters: what outlines the twelve organs on a scan.

`TotalSegmentator` runs the tool of that name, `ExistingMasks` reads masks that it, or a hospital,
has made before, of any format. `adapters.py` is the only file that imports totalsegmentator.
"""

from coala_kedro.organs.dataset import OrganSegmenterDataset
from coala_kedro.organs.existing import ExistingMasks
from coala_kedro.organs.segmenter import (
    EXPECTED_CENTRES_MM,
    LIVER_ID,
    SPLEEN_ID,
    OrganMaskError,
    OrganSegmenter,
    OrganSegmenterError,
)
from coala_kedro.organs.totalsegmentator import TotalSegmentator

__all__ = [
    "EXPECTED_CENTRES_MM",
    "LIVER_ID",
    "SPLEEN_ID",
    "ExistingMasks",
    "OrganMaskError",
    "OrganSegmenter",
    "OrganSegmenterDataset",
    "OrganSegmenterError",
    "TotalSegmentator",
]
