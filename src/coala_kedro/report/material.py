"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from coala_kedro.report.cells import Cell, Source
from coala_kedro.report.page import Picture, Plot

MISSING = {
    "dice": "both masks empty",
    "fold_agreement": "no fold sees CRLM",
    "contrast_hu": "no liver around it",
}
"""Why columns without a note have no value."""


@dataclass(frozen=True)
class Material:
    """Frames, figures and pictures by their names in the catalog.

    Attributes:
        frames: Each the content of `<name>.csv`.
        figures: Of `canvas`; one without traces has nothing to show.
        pictures: PNG.
    """

    frames: Mapping[str, pd.DataFrame]
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Source:
        frame = self.frames[name].reset_index(drop=True)
        return Source(f"{name}.csv", frame, MISSING)

    def plot(self, name: str, caption: str) -> Plot | str:
        """A figure with its caption, or words why there is none."""
        figure = self.figures[name]
        if figure.data:
            return Plot(caption, figure, name)
        words = " ".join(note.text for note in figure.layout.annotations)
        return Markup('<span class="none">{}</span>').format(words)

    def picture(self, name: str, caption: str, alt: str) -> Picture | None:
        """A picture, if the report has it."""
        return Picture(caption, self.pictures[name], alt) if name in self.pictures else None

    def setting(self, name: str) -> Cell:
        """What a parameter is, or the version of a package."""
        settings = self["settings"]
        (row,) = settings.rows(setting=name).index
        return settings.cell(row, "value")

    @cached_property
    def models(self) -> list[str]:
        """In the order of the study: teacher, student."""
        return list(self.frames["scan_metrics"]["model"].unique())

    @cached_property
    def cohorts(self) -> list[str]:
        """Those that were tested."""
        return list(self.frames["scan_metrics"]["cohort"].unique())
