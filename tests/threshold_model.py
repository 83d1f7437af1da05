"""A model without a network: CRLM is what lies between two thresholds on HU."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import SimpleITK as sitk
from kedro.io import AbstractDataset

from coala_kedro.anatomy import CRLM, LIVER
from coala_kedro.imaging.geometry import image_like
from coala_kedro.models.prediction import FOLD_VOTES, LABEL_MAP


@dataclass(frozen=True)
class ThresholdModel:
    """CRLM from `low_hu` to `high_hu`; all above is liver."""

    low_hu: float
    high_hu: float
    n_folds: ClassVar = 1

    @property
    def fingerprint(self):
        return f"CRLM from {self.low_hu} to {self.high_hu} HU"

    def predict(self, scan, inference, compute):
        image = scan()
        hu = sitk.GetArrayViewFromImage(image)
        crlm = (hu >= self.low_hu) & (hu <= self.high_hu)
        label_map = np.select([crlm, hu > self.high_hu], [CRLM, LIVER])
        made = {LABEL_MAP: label_map, FOLD_VOTES: crlm}
        return {name: image_like(array.astype(np.uint8), image) for name, array in made.items()}


class ThresholdModelDataset(AbstractDataset):
    """Loads the model of two thresholds."""

    def __init__(self, *, low_hu, high_hu, metadata=None):
        self._model = ThresholdModel(low_hu, high_hu)
        self.metadata = metadata

    def load(self):
        return self._model

    def save(self, data):
        raise NotImplementedError("Its thresholds are in the catalog.")

    def _exists(self):
        return True

    def _describe(self):
        return {"model": self._model}
