"""Settings of the statistics, and the steps that are not a function of `statistics` alone."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from coala_kedro.statistics import paper
from coala_kedro.statistics.lesion_summary import LOW_CONTRAST_HU, summarise_lesions
from coala_kedro.statistics.results_table import table_2
from coala_kedro.statistics.subgroups import CLASS_BOUNDS_ML, LESION_BOUNDS, SLICE_BOUNDS_MM
from coala_kedro.statistics.summary import summarise as summarise_scans
from coala_kedro.statistics.worst_scans import N_WORST


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
        LESION_BOUNDS, min_length=1, description="Between classes of numbers of lesions."
    )
    n_worst: int = Field(N_WORST, ge=1, description="Worst scans listed, a model and cohort.")

    @field_validator("ttv_bounds_ml", "slice_bounds_mm", "lesion_bounds")
    @classmethod
    def _rise(cls, bounds: tuple[float, ...]) -> tuple[float, ...]:
        if list(bounds) != sorted({*bounds}) or bounds[0] <= 0:
            raise ValueError(f"bounds of classes must be above 0 and rise, got {bounds}")
        return bounds


def summarise(
    scan_metrics: pd.DataFrame, lesion_metrics: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Summarise scans and lesions.

    Args:
        scan_metrics: As catalogued.
        lesion_metrics: As catalogued.
        statistics: Settings.

    Returns:
        The tidy summary of the scans, that of the lesions, and Table 2, teacher beside student.
    """
    resampling = statistics.n_resamples, statistics.seed
    summary = summarise_scans(scan_metrics, *resampling, statistics.ttv_bounds_ml)
    lesions = summarise_lesions(
        lesion_metrics, scan_metrics, *resampling, statistics.low_contrast_hu
    )
    return summary, lesions, table_2(summary)


def compare_with_paper(summary: pd.DataFrame, **scan_tables: pd.DataFrame) -> pd.DataFrame:
    """Put the paper's figures beside the run's.

    Args:
        summary: As `summarise` returns it.
        **scan_tables: The accepted scans, by cohort.

    Returns:
        See `statistics.paper.compare_with_paper`.
    """
    return paper.compare_with_paper(summary, scan_tables)
