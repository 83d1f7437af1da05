from .dataset import OrganSegmenterDataset
from .existing import ExistingMasks
from .segmenter import (
    EXPECTED_CENTRES_MM,
    LIVER_ID,
    SPLEEN_ID,
    OrganMaskError,
    OrganSegmenter,
    OrganSegmenterError,
)
from .totalsegmentator import TotalSegmentator

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
