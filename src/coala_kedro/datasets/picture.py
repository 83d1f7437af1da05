"""A picture that a page can show."""

from __future__ import annotations

from kedro_datasets.matplotlib import MatplotlibDataset


class PictureDataset(MatplotlibDataset):
    """Saves a figure of matplotlib as a picture, and loads the bytes of its file.

    Examples:
        ```yaml
        figure_3:
          type: coala_kedro.datasets.PictureDataset
          filepath: data/08_reporting/figure_3.png
        ```

        >>> PictureDataset(filepath="figure_3.png").load()[1:4]
        b'PNG'
    """

    def load(self) -> bytes:
        """The file as it is."""
        with self._fs.open(str(self._get_load_path()), mode="rb") as file:
            return file.read()
