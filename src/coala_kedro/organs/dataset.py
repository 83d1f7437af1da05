"""The organ segmenter as a catalog entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from coala_kedro.organs.existing import ExistingMasks
from coala_kedro.organs.segmenter import OrganSegmenter, OrganSegmenterError
from coala_kedro.organs.totalsegmentator import TotalSegmentator

SEGMENTERS: dict[str, type[TotalSegmentator] | type[ExistingMasks]] = {
    "totalsegmentator": TotalSegmentator,
    "existing_masks": ExistingMasks,
}

_SECRET = "storage_options"


class OrganSegmenterDataset(AbstractDataset[NoReturn, OrganSegmenter]):
    """Loads an organ segmenter: what outlines the organs on the scans of a cohort. Read-only.

    Examples:
        ```yaml
        internal.organ_segmenter:
          type: coala_kedro.organs.OrganSegmenterDataset
          segmenter: totalsegmentator
          device: auto  # the first GPU, else the CPU

        external.organ_segmenter:  # the hospital has outlined the organs already
          type: coala_kedro.organs.OrganSegmenterDataset
          segmenter: existing_masks
          path: data/01_raw/external/organs

        clinic.organ_segmenter:  # with values of its own
          type: coala_kedro.organs.OrganSegmenterDataset
          segmenter: existing_masks
          path: /clinic/labels
          pattern: "{scan_id}/labels.nrrd"
          ids: {liver: 1, spleen: 2, colon: [3, 4]}

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
        self,
        *,
        segmenter: str,
        credentials: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Create the dataset.

        Args:
            segmenter: `totalsegmentator` or `existing_masks`.
            credentials: What opens the URL of existing masks, for fsspec.
            metadata: Anything kedro-viz or another plugin reads; ignored here.
            **options: The attributes of `TotalSegmentator` or `ExistingMasks`, but for
                `storage_options`.

        Raises:
            DatasetError: There is no such segmenter, or an option is unknown, missing or wrong.
        """
        self._name = segmenter
        self._options = options
        self._segmenter = _build(segmenter, options, credentials)
        self.metadata = metadata

    def load(self) -> OrganSegmenter:
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
        return {"segmenter": self._name, **self._options}

    def _init_config(self) -> dict[str, Any]:
        """The catalog entry, its options flat as they were given."""
        config = super()._init_config()
        options = config.pop("options")
        return config | options


def _build(
    name: str, options: dict[str, Any], credentials: Mapping[str, Any] | None
) -> TotalSegmentator | ExistingMasks:
    if name not in SEGMENTERS:
        raise DatasetError(f"There is no segmenter '{name}'. Allowed: {', '.join(SEGMENTERS)}.")
    fields = {f.name: f for f in dataclasses.fields(SEGMENTERS[name]) if f.name != _SECRET}
    if unknown := options.keys() - fields.keys():
        raise DatasetError(
            f"The segmenter '{name}' has no option {', '.join(sorted(unknown))}. "
            f"Allowed: {', '.join(fields)}."
        )
    needed = {n for n, field in fields.items() if field.default is dataclasses.MISSING}
    if missing := needed - options.keys():
        raise DatasetError(f"The segmenter '{name}' needs the option {', '.join(sorted(missing))}.")
    if credentials and name != "existing_masks":
        raise DatasetError(f"The segmenter '{name}' opens no URL and takes no credentials.")
    secret: dict[str, Any] = {_SECRET: credentials} if credentials else {}
    try:
        return SEGMENTERS[name](**options, **secret)
    except OrganSegmenterError as error:
        raise DatasetError(str(error)) from None
