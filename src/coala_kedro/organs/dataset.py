"""The organ segmenter as a catalog entry."""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from coala_kedro.organs.existing import ExistingMasks
from coala_kedro.organs.segmenter import OrganSegmenterError
from coala_kedro.organs.totalsegmentator import TotalSegmentator

SEGMENTERS: dict[str, type[TotalSegmentator] | type[ExistingMasks]] = {
    "totalsegmentator": TotalSegmentator,
    "existing_masks": ExistingMasks,
}


class OrganSegmenterDataset(AbstractDataset[NoReturn, TotalSegmentator | ExistingMasks]):
    """Loads an organ segmenter: what outlines the organs on the scans of a cohort. Read-only.

    Examples:
        ```yaml
        internal.organ_segmenter:
          type: coala_kedro.organs.OrganSegmenterDataset
          segmenter: totalsegmentator
          device: auto  # the first GPU, else the CPU

        external.organ_segmenter:  # the hospital has outlined the organs, with values of its own
          type: coala_kedro.organs.OrganSegmenterDataset
          segmenter: existing_masks
          path: /hospital/labels
          pattern: "{scan_id}/labels.nrrd"
          values: {liver: 1, spleen: 2, colon: [3, 4]}  # without it: TotalSegmentator's class ids

        bucket.organ_segmenter:  # TotalSegmentator's folders of a file per class, in a bucket
          type: coala_kedro.organs.OrganSegmenterDataset
          segmenter: existing_masks
          path: s3://hospital/segmentations
          pattern: "{scan_id}/{organ}.nii.gz"
          credentials: hospital_s3

        pacs.organ_segmenter:  # DICOM segmentations
          type: coala_kedro.organs.OrganSegmenterDataset
          segmenter: existing_masks
          path: /pacs/export
          pattern: "{scan_id}/*/SEG_*/*.dcm"
          format: dicom_seg
          segments: {liver: "Liver", spleen: "Spleen"}
        ```

        >>> dataset = OrganSegmenterDataset(segmenter="totalsegmentator", device="cpu")
        >>> dataset.load()
        TotalSegmentator(device='cpu', weights_path=None, fast=False, robust_crop=False)
    """

    def __init__(
        self, *, segmenter: str, metadata: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Create the dataset.

        Args:
            segmenter: `totalsegmentator` or `existing_masks`.
            metadata: Anything kedro-viz or another plugin reads; ignored here.
            **options: The attributes of `TotalSegmentator` or `ExistingMasks`; `ids` is the former
                name of `values`.

        Raises:
            DatasetError: There is no such segmenter, or an option is unknown, missing or wrong.
        """
        self._name = segmenter
        self._options = {"values" if name == "ids" else name: o for name, o in options.items()}
        self._segmenter = _build(segmenter, self._options)
        self.metadata = metadata

    def load(self) -> TotalSegmentator | ExistingMasks:
        """Give the segmenter; it is picklable and light, and does nothing until it is called."""
        return dataclasses.replace(self._segmenter)  # which has not yet looked what files there are

    def save(self, data: NoReturn) -> None:
        """Refuse: a segmenter is described in the catalog.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(
            "An organ segmenter is read-only: describe it in the catalog, no node can save one."
        )

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"segmenter": self._segmenter}

    def _init_config(self) -> dict[str, Any]:
        """The catalog entry, its options flat as they were given."""
        config = super()._init_config()
        options = config.pop("options")
        return config | options


def _build(name: str, options: dict[str, Any]) -> TotalSegmentator | ExistingMasks:
    if name not in SEGMENTERS:
        raise DatasetError(f"There is no segmenter '{name}'. Allowed: {', '.join(SEGMENTERS)}.")
    fields = {field.name: field for field in dataclasses.fields(SEGMENTERS[name])}
    if unknown := options.keys() - fields.keys():
        raise DatasetError(
            f"The segmenter '{name}' has no option {', '.join(sorted(unknown))}. "
            f"Allowed: {', '.join(fields)}."
        )
    needed = {n for n, field in fields.items() if field.default is dataclasses.MISSING}
    if missing := needed - options.keys():
        raise DatasetError(f"The segmenter '{name}' needs the option {', '.join(sorted(missing))}.")
    try:
        return SEGMENTERS[name](**options)
    except OrganSegmenterError as error:
        raise DatasetError(str(error)) from None
