"""From a cohort's raw scans and readers to consensus masks and label maps."""

from coala_kedro.pipelines.preprocessing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
