"""A figure to look at, to print and to draw again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from kedro_datasets.plotly import JSONDataset

from coala_kedro.disk import written_whole
from coala_kedro.report.still import draw, svg

_DPI = 200


class FigureDataset(JSONDataset):
    """Saves a plotly figure as JSON, which kedro-viz shows, with a PNG and an SVG beside it.

    The figure is one of `coala_kedro.report.figures`; the local folder is made if need be.

    Examples:
        ```yaml
        bland_altman_figure:
          type: coala_kedro.datasets.FigureDataset
          filepath: data/08_reporting/figures/bland_altman.json
        ```

        >>> FigureDataset(filepath="figures/dice.json").save(figures.dice(scan_metrics))
    """

    DEFAULT_FS_ARGS: dict[str, Any] = {  # noqa: RUF012
        "open_args_save": {"mode": "w", "encoding": "utf-8"}
    }

    @property
    def artifacts(self) -> list[str]:
        """The pictures, for whoever keeps them."""
        return [str(self._beside(suffix)) for suffix in (".png", ".svg")]

    def save(self, data: go.Figure) -> None:
        """Save the figure and draw it."""
        super().save(data)
        with written_whole(self._beside(".png"), "a picture") as partial:
            draw(data).savefig(partial, dpi=_DPI)
        with written_whole(self._beside(".svg"), "a picture") as partial:
            partial.write_text(svg(data), encoding="utf-8")

    def _beside(self, suffix: str) -> Path:
        return Path(str(self._filepath)).with_suffix(suffix)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
