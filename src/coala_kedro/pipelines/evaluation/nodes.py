"""Steps of evaluation that take all scans together: figures, tests and tables."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from coala_kedro.statistics.agreement import agreement_table
from coala_kedro.statistics.comparisons import compare
from coala_kedro.statistics.lesion_summary import LOW_CONTRAST_HU, summarise_lesions
from coala_kedro.statistics.paper import compare_with_paper
from coala_kedro.statistics.rater_summary import summarise_raters
from coala_kedro.statistics.results_table import table_2
from coala_kedro.statistics.subgroups import (
    CLASS_BOUNDS_ML,
    LESION_BOUNDS,
    SLICE_BOUNDS_MM,
    class_table,
    summarise_subgroups,
)
from coala_kedro.statistics.summary import summarise as summarise_scans
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
