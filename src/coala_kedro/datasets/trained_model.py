"""A trained model in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from coala_kedro.nnunet.model import ModelError, TrainedModel, open_model
from coala_kedro.provenance import read_provenance, write_provenance


class TrainedModelDataset(AbstractDataset[TrainedModel, TrainedModel]):
    """Loads a cascade from a stock nnU-Net folder: ours, or one trained elsewhere.

    The folder holds one `…__3d_lowres` and one `…__3d_cascade_fullres`, with any number of folds.
    Saving writes `model.json` beside them, the fingerprint of what trained the model; a folder
    without it is told from another by its files. Label ids of a model with our structures' names
    are translated by name; of any other, as `labels` says. A scan is shown to the model in the
    orientation that it was trained in: as its files say (ours do, and those of nnU-Net's reader
    that turns scans to RAS), else as `orientation` says, else LPS.

    Examples:
        ```yaml
        teacher.model:  # a model that somebody else trained
          type: coala_kedro.datasets.TrainedModelDataset
          path: /models/COALA
          labels: {1: duodenum, 2: background, 13: crlm}  # what its ids, or names, are here
          orientation: LAS  # what dcm2niix makes of axial CT; LPS is that of DICOM
        ```

        >>> TrainedModelDataset(path="data/06_models/teacher/Dataset001_CRLM").load().folds
        (0, 1, 2, 3, 4)
    """

    def __init__(
        self,
        *,
        path: str,
        labels: Mapping[str | int, str] | None = None,
        orientation: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            path: Local folder with the two stages.
            labels: Our structure (`anatomy.py`), or `background`, for each label id or name of the
                model.
            orientation: That of the files it was trained on, where the model does not tell: a
                letter for x, y and z each, the side that the axis runs to.
            metadata: Anything kedro-viz or another plugin reads; ignored here.
        """
        self._path = Path(path)
        self._labels = labels
        self._orientation = orientation
        self.metadata = metadata

    def load(self) -> TrainedModel:
        """Open the model.

        Raises:
            DatasetError: A stage, fold or file is missing, it is not known what its labels mean, or
                it was trained in another orientation than the entry says.
        """
        card = read_provenance(self._card)
        made_by = card["fingerprint"] if card else None
        try:
            return open_model(self._path, made_by, self._labels, self._orientation)
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
        # What trained it alone: how it is read is told by the entry and its files.
        write_provenance(
            self._card, {"fingerprint": data.former_fingerprint, "folds": list(data.folds)}
        )

    @property
    def _card(self) -> Path:
        return self._path / "model.json"

    def _exists(self) -> bool:
        made_elsewhere = self._labels is not None or self._orientation is not None
        return self._card.is_file() or (made_elsewhere and self._path.is_dir())

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "orientation": self._orientation}
