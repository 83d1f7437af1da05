"""A trained model in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from coala_kedro.marks import read_mark, write_mark
from coala_kedro.nnunet.model import ModelError, TrainedModel, open_model


class TrainedModelDataset(AbstractDataset[TrainedModel, TrainedModel]):
    """Loads a cascade from a stock nnU-Net folder: ours, or one trained elsewhere.

    The folder holds `nnUNetTrainer__nnUNetPlans__3d_lowres` and
    `nnUNetTrainer__nnUNetPlans__3d_cascade_fullres`. Saving writes `model.json` beside them, the
    fingerprint of what trained the model; a folder without it is told from another by its files.

    Examples:
        ```yaml
        teacher.model:  # a model somebody else trained, with the label map of `anatomy.py`
          type: coala_kedro.datasets.TrainedModelDataset
          path: /models/COALA
        ```

        >>> TrainedModelDataset(path="data/06_models/teacher/Dataset001_CRLM").load().folds
        (0, 1, 2, 3, 4)
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        """Create the dataset.

        Args:
            path: Local folder with the two stages.
            metadata: Anything kedro-viz or another plugin reads; ignored here.
        """
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> TrainedModel:
        """Open the model.

        Raises:
            DatasetError: A stage, fold or file is missing, or its labels are not the study's.
        """
        card = read_mark(self._card)
        try:
            return open_model(self._path, card["fingerprint"] if card else None)
        except ModelError as error:
            raise DatasetError(str(error)) from None

    def save(self, data: TrainedModel) -> None:
        """Write the model's card; its weights are in the folder already.

        Raises:
            DatasetError: The model lies in another folder.
        """
        if data.path != self._path.resolve():
            raise DatasetError(
                f"The model was trained in {data.path}, and the catalog entry says {self._path}: "
                "give both the same folder."
            )
        write_mark(self._card, {"fingerprint": data.fingerprint, "folds": list(data.folds)})

    @property
    def _card(self) -> Path:
        return self._path / "model.json"

    def _exists(self) -> bool:
        return self._card.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
