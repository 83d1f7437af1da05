"""The series a segmentation was drawn on, compared with the scan that it is paired with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset  # slow

Facts = dict[str, bool | int | float | str]


@dataclass(frozen=True)
class Origin:
    """UIDs of a scan, or of what a segmentation was drawn on; to be compared only.

    A UID leads back to the patient: none goes into a fact, a message or a file.

    Attributes:
        series: SeriesInstanceUIDs.
        frames: FrameOfReferenceUIDs.
        images: SOPInstanceUIDs.
    """

    series: frozenset[str] = frozenset()
    frames: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()


def compare_origins(mask: Origin, scan: Origin) -> Facts:
    """Say whether a segmentation was drawn on a scan.

    Args:
        mask: What the segmentation refers to.
        scan: The scan's own UIDs; those of a scan that is no DICOM are empty, and nothing can be
            said.

    Returns:
        At most one of `other_frame` (another frame of reference: coordinates of the two mean
        different places, PS3.3 C.7.4.1), `other_series` (another series of the same frame, or of
        none) and `other_images` (other images of the same series, such as another phase), in
        words.
    """
    if scan.frames and mask.frames and not scan.frames & mask.frames:
        return {"other_frame": "another frame of reference"}
    if scan.series and mask.series and not scan.series & mask.series:
        frame = "of the same frame of reference" if scan.frames & mask.frames else ""
        return {"other_series": f"another series {frame}".strip()}
    if scan.images and mask.images and not scan.images & mask.images:
        return {"other_images": "none of the scan's own images"}
    return {}


def items_of(datasets: Iterable[Dataset], *keywords: str) -> list[Dataset]:
    """Items of nested sequences.

    Args:
        datasets: Data sets.
        keywords: Of a sequence in these, of a sequence in its items, and so on.
    """
    for keyword in keywords:
        datasets = [item for dataset in datasets for item in dataset.get(keyword, [])]
    return [*datasets]


def uids_of(datasets: Iterable[Dataset], keyword: str) -> frozenset[str]:
    """The UIDs that data sets have for one keyword, without empty ones.

    Args:
        datasets: DICOM data sets or items of sequences.
        keyword: Keyword of the UID, such as `SeriesInstanceUID`.
    """
    return frozenset(str(dataset.get(keyword, "")) for dataset in datasets) - {""}
