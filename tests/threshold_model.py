"""The model of docs/bringing_a_model.md, as it is written there."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from kedro.io import AbstractDataset, DatasetError

from coala_kedro.anatomy import CRLM
from coala_kedro.imaging.geometry import image_like


@dataclass(frozen=True)
class ThresholdModel:
    """CRLM is whatever lies between two thresholds on HU."""

    low_hu: float
    high_hu: float
    n_folds: int = 1

    @property
    def fingerprint(self):
        return f"CRLM from {self.low_hu} to {self.high_hu} HU"

    def predict(self, scan, inference, compute):
        image = scan()
        hu = sitk.GetArrayViewFromImage(image)
        crlm = ((hu >= self.low_hu) & (hu <= self.high_hu)).astype(np.uint8)
        made = {"label_maps": crlm * np.uint8(CRLM), "fold_votes": crlm}
        return {name: image_like(array, image) for name, array in made.items()}


class ThresholdModelDataset(AbstractDataset):
    """Loads the model from the entry's own numbers."""

    def __init__(self, *, low_hu, high_hu, metadata=None):
        self._model = ThresholdModel(low_hu, high_hu)
        self.metadata = metadata

    def load(self):
        return self._model

    def save(self, data):
        raise DatasetError("The thresholds are in the catalog: there is nothing to save.")

    def _describe(self):
        return {"model": self._model}
