"""Pictures of patients: outlines of model and consensus on scans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import SimpleITK as sitk
from pydantic import BaseModel, ConfigDict, Field

from coala_kedro.datasets import LazyVolume
from coala_kedro.datasets.grouping import part_of
from coala_kedro.imaging.geometry import oriented, spacing_zyx_mm
from coala_kedro.imaging.label_map import crlm_mask
from coala_kedro.imaging.overlay import Panel, axial_panel, outline_gallery
from coala_kedro.models.prediction import LABEL_MAP
from coala_kedro.report.plots import Figure, nothing

Volumes = Mapping[str, LazyVolume]


class Drawing(BaseModel):
    """Settings of the pictures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scans_per_cohort: int = Field(3, ge=1, description="In figure 3.")
    pictures_in_report: bool = Field(
        True, description="Whether report.html shows slices of patients' scans."
    )


class Shown(NamedTuple):
    """A scan to draw."""

    cohort: str
    scan_id: str
    title: str


def draw_outlines(
    worst_scans: pd.DataFrame, drawing: Drawing, cohorts: Sequence[str], **volumes: Volumes
) -> tuple[Figure, Figure]:
    """The student's outline (red) against the consensus (green).

    Args:
        worst_scans: `model, cohort, rank, scan_id`.
        drawing: How many scans to draw.
        cohorts: Their names, in the order in which they are drawn.
        **volumes: Of each cohort `scans_<cohort>`, `label_maps_<cohort>` (with the consensus) and
            `predictions_<cohort>` (the student's, of the test scans).

    Returns:
        As in the paper's Figure 3, the first test scans of each cohort by name: chosen before
        anyone saw the result. And those in which the student does worst.
    """
    kinds = ("scans", "label_maps", "predictions")
    of_cohort = {c: tuple(volumes[f"{kind}_{c}"] for kind in kinds) for c in cohorts}
    first = [
        Shown(cohort, scan_id, f"{cohort}: {scan_id}")
        for cohort, (_, _, predictions) in of_cohort.items()
        for scan_id in sorted(part_of(predictions, LABEL_MAP))[: drawing.scans_per_cohort]
    ]
    of_student = worst_scans[worst_scans["model"] == "student"]
    worst = [
        Shown(str(row.cohort), str(row.scan_id), f"{row.cohort} {row.rank}: {row.scan_id}")
        for row in of_student.itertuples()
    ]
    return _gallery(first, of_cohort, drawing.scans_per_cohort), _gallery(worst, of_cohort, 3)


def _gallery(
    chosen: list[Shown], volumes: Mapping[str, tuple[Volumes, ...]], n_columns: int
) -> Figure:
    if chosen:
        return outline_gallery(_panels(chosen, volumes), n_columns)
    return nothing("No scan to show.")


def _panels(chosen: list[Shown], volumes: Mapping[str, tuple[Volumes, ...]]) -> Iterator[Panel]:
    for cohort, scan_id, title in chosen:
        scans, label_maps, predictions = volumes[cohort]
        predicted = part_of(predictions, LABEL_MAP)[scan_id]
        scan = oriented(scans[scan_id]())  # first row in front, patient's right on the left
        yield axial_panel(
            sitk.GetArrayFromImage(scan),
            crlm_mask(oriented(label_maps[scan_id]())),
            crlm_mask(oriented(predicted())),
            spacing_zyx_mm(scan),
            title=title,
        )
