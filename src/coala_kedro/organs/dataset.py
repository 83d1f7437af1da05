"""The organ segmenter as a catalog entry."""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from coala_kedro.organs.existing import ExistingMasks
from coala_kedro.organs.segmenter import OrganSegmenter, OrganSegmenterError
from coala_kedro.organs.totalsegmentator import TotalSegmentator

SEGMENTERS: dict[str, type[TotalSegmentator] | type[ExistingMasks]] = {
    "totalsegmentator": TotalSegmentator,
    "existing_masks": ExistingMasks,
}


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
            **options: The attributes of `TotalSegmentator` or `ExistingMasks`.

        Raises:
            DatasetError: There is no such segmenter, or an option is unknown, missing or wrong.
        """
        self._name = segmenter
        self._options = options
        self._segmenter = _build(segmenter, options)
        self.metadata = metadata

    def load(self) -> OrganSegmenter:
        """Give the segmenter; it is picklable and light, and does nothing until it is called."""
        return self._segmenter

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


def _build(name: str, options: dict[str, Any]) -> OrganSegmenter:
    if name not in SEGMENTERS:
        raise DatasetError(f"There is no segmenter '{name}'. Allowed: {', '.join(SEGMENTERS)}.")
    fields = dataclasses.fields(SEGMENTERS[name])
    allowed = ", ".join(field.name for field in fields)
    if unknown := options.keys() - {field.name for field in fields}:
        raise DatasetError(
            f"The segmenter '{name}' has no option {', '.join(sorted(unknown))}. "
            f"Allowed: {allowed}."
        )
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    if missing := needed - options.keys():
        raise DatasetError(f"The segmenter '{name}' needs the option {', '.join(sorted(missing))}.")
    try:
        return SEGMENTERS[name](**options)
    except OrganSegmenterError as error:
        raise DatasetError(str(error)) from error
