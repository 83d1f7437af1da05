"""Figures of matplotlib as files that a page can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro_datasets.matplotlib import MatplotlibDataset
from matplotlib.figure import Figure

from coala_kedro.disk import written_whole
from coala_kedro.report.plots import svg


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


class FigureDataset(MatplotlibDataset):
    """Saves a figure as PNG, which kedro-viz shows, and as SVG beside it, which it loads as text.

    The figure is one of `coala_kedro.report`; the local folder is made if need be.

    Examples:
        ```yaml
        bland_altman_figure:
          type: coala_kedro.datasets.FigureDataset
          filepath: data/08_reporting/figures/bland_altman.png
        ```

        >>> FigureDataset(filepath="figures/dice.png").save(figures.dice(scan_metrics))
    """

    DEFAULT_SAVE_ARGS: dict[str, Any] = {"dpi": 200}  # noqa: RUF012

    @property
    def artifacts(self) -> list[str]:
        """Both files, for MLflow."""
        return [str(self._filepath), str(self._svg)]

    def load(self) -> str:
        """The element `<svg>`."""
        return self._svg.read_text(encoding="utf-8")

    def save(self, data: Figure) -> None:
        """Write both files; each is there whole or as it was before."""
        with written_whole(self._svg, "a picture") as partial:
            partial.write_text(svg(data, self._svg.stem), encoding="utf-8")
        with written_whole(Path(str(self._get_save_path())), "a picture") as partial:
            data.savefig(partial, **self._save_args)

    def _exists(self) -> bool:
        return super()._exists() and self._svg.exists()

    @property
    def _svg(self) -> Path:
        return Path(str(self._filepath)).with_suffix(".svg")
