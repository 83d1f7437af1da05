"""Steps of evaluation that take all scans together: figures, tests, tables and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
import SimpleITK as sitk
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, field_validator

from coala_kedro.datasets import LazyVolume
from coala_kedro.datasets.volume_folder import part_of
from coala_kedro.imaging.geometry import spacing_zyx_mm
from coala_kedro.imaging.label_map import crlm_mask
from coala_kedro.imaging.overlay import Panel, axial_panel, outline_gallery
from coala_kedro.nnunet.inference import LABEL_MAP
from coala_kedro.statistics import plots
from coala_kedro.statistics.agreement_table import agreement_table
from coala_kedro.statistics.lesion_summary import LOW_CONTRAST_HU, summarise_lesions
from coala_kedro.statistics.paper import compare_with_paper
from coala_kedro.statistics.rater_summary import summarise_raters
from coala_kedro.statistics.results_table import table_2
from coala_kedro.statistics.subgroups import LESION_BOUNDS, SLICE_BOUNDS_MM, summarise_subgroups
from coala_kedro.statistics.summary import summarise as summarise_scans
from coala_kedro.statistics.tests_table import compare
from coala_kedro.statistics.ttv_classes import CLASS_BOUNDS_ML, class_table
from coala_kedro.statistics.worst_scans import N_WORST, worst_scans


class Statistics(BaseModel):
    """Settings of the statistics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_resamples: int = Field(2000, ge=100, description="Of the bootstrap over patients.")
    seed: int = Field(0, ge=0)
    low_contrast_hu: float = Field(
        LOW_CONTRAST_HU, gt=0, description="Of lesions to the liver; less is hard to see."
    )
    ttv_bounds_ml: tuple[float, ...] = Field(
        CLASS_BOUNDS_ML, min_length=1, description="Between classes of total tumour volume."
    )
    slice_bounds_mm: tuple[float, ...] = Field(
        SLICE_BOUNDS_MM, min_length=1, description="Between classes of slice thickness."
    )
    lesion_bounds: tuple[int, ...] = Field(
        LESION_BOUNDS, min_length=1, description="Between classes of the number of lesions."
    )
    n_worst: int = Field(N_WORST, ge=1, description="Worst scans told of, a model and cohort.")

    @field_validator("ttv_bounds_ml", "slice_bounds_mm", "lesion_bounds")
    @classmethod
    def _rise(cls, bounds: tuple[float, ...]) -> tuple[float, ...]:
        if list(bounds) != sorted({*bounds}) or bounds[0] <= 0:
            raise ValueError(f"bounds of classes must be above 0 and rise, got {bounds}")
        return bounds


class Drawing(BaseModel):
    """Settings of the figure of outlines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scans_per_cohort: int = Field(3, ge=1)


def summarise(
    scan_metrics: pd.DataFrame, lesion_metrics: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tidy summaries of scans and of lesions, and Table 2, teacher beside student."""
    summary = summarise_scans(
        scan_metrics, statistics.n_resamples, statistics.seed, statistics.ttv_bounds_ml
    )
    lesions = summarise_lesions(
        lesion_metrics,
        scan_metrics,
        statistics.n_resamples,
        statistics.seed,
        statistics.low_contrast_hu,
    )
    return summary, lesions, table_2(summary)


def judge_agreement(
    scan_metrics: pd.DataFrame, summary: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Agreement on volumes with both kinds of interval, and the table of TTV classes."""
    classes = class_table(scan_metrics, statistics.ttv_bounds_ml)
    return agreement_table(scan_metrics, summary), classes


def compare_raters(
    scan_metrics: pd.DataFrame, reader_metrics: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How readers and models agree, and every test: therapy, models, models against readers."""
    settings = statistics.n_resamples, statistics.seed
    return (
        summarise_raters(reader_metrics, *settings),
        compare(scan_metrics, reader_metrics, *settings),
    )


def look_closer(
    scan_metrics: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results by groups of scans, and the worst scans."""
    subgroups = summarise_subgroups(
        scan_metrics,
        statistics.n_resamples,
        statistics.seed,
        statistics.ttv_bounds_ml,
        statistics.slice_bounds_mm,
        statistics.lesion_bounds,
    )
    return subgroups, worst_scans(scan_metrics, statistics.n_worst)


def recall_paper(summary: pd.DataFrame, **scan_tables: pd.DataFrame) -> pd.DataFrame:
    """The paper's figures beside the run's; scan tables by cohort."""
    return compare_with_paper(summary, scan_tables)


def draw_statistics(scan_metrics: pd.DataFrame) -> tuple[Figure, Figure]:
    """Bland-Altman plot of total tumour volume, and Dice by cohort and timepoint."""
    return plots.bland_altman_figure(scan_metrics), plots.dice_figure(scan_metrics)


def draw_outlines(
    internal_scans: Mapping[str, LazyVolume],
    external_scans: Mapping[str, LazyVolume],
    internal_label_maps: Mapping[str, LazyVolume],
    external_label_maps: Mapping[str, LazyVolume],
    internal_predictions: Mapping[str, LazyVolume],
    external_predictions: Mapping[str, LazyVolume],
    drawing: Drawing,
) -> Figure:
    """The student's outline (red) against the consensus (green), as in the paper's Figure 3.

    The first test scans of each cohort by name are drawn: chosen before anyone saw the result.
    """
    cohorts = {
        "internal": (internal_scans, internal_label_maps, internal_predictions),
        "external": (external_scans, external_label_maps, external_predictions),
    }
    return outline_gallery(_panels(cohorts, drawing.scans_per_cohort), drawing.scans_per_cohort)


def _panels(
    cohorts: Mapping[str, tuple[Mapping[str, LazyVolume], ...]], scans_per_cohort: int
) -> Iterator[Panel]:
    for cohort, (scans, label_maps, made) in cohorts.items():
        predictions = part_of(made, LABEL_MAP)
        for scan_id in sorted(predictions)[:scans_per_cohort]:
            scan = scans[scan_id]()
            yield axial_panel(
                sitk.GetArrayFromImage(scan),
                crlm_mask(label_maps[scan_id]()),
                crlm_mask(predictions[scan_id]()),
                spacing_zyx_mm(scan),
                title=f"{cohort}: {scan_id}",
            )
