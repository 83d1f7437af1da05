"""Pictures of patients: outlines of model and consensus on scans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    internal_scans: Volumes,
    external_scans: Volumes,
    internal_label_maps: Volumes,
    external_label_maps: Volumes,
    internal_predictions: Volumes,
    external_predictions: Volumes,
    worst_scans: pd.DataFrame,
    drawing: Drawing,
) -> tuple[Figure, Figure]:
    """The student's outline (red) against the consensus (green).

    Args:
        internal_scans: Scans of the internal cohort.
        external_scans: Likewise of the external cohort.
        internal_label_maps: Label maps with the consensus.
        external_label_maps: Likewise.
        internal_predictions: The student's predictions of the test scans.
        external_predictions: Likewise.
        worst_scans: `model, cohort, rank, scan_id`.
        drawing: How many scans to draw.

    Returns:
        As in the paper's Figure 3, the first test scans of each cohort by name: chosen before
        anyone saw the result. And those in which the student does worst.
    """
    volumes = {
        "internal": (internal_scans, internal_label_maps, internal_predictions),
        "external": (external_scans, external_label_maps, external_predictions),
    }
    first = [
        Shown(cohort, scan_id, f"{cohort}: {scan_id}")
        for cohort, (_, _, predictions) in volumes.items()
        for scan_id in sorted(part_of(predictions, LABEL_MAP))[: drawing.scans_per_cohort]
    ]
    of_student = worst_scans[worst_scans["model"] == "student"]
    worst = [
        Shown(str(row.cohort), str(row.scan_id), f"{row.cohort} {row.rank}: {row.scan_id}")
        for row in of_student.itertuples()
    ]
    return _gallery(first, volumes, drawing.scans_per_cohort), _gallery(worst, volumes, 3)


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
