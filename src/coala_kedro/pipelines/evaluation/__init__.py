"""Teacher and student on both test sets."""

from coala_kedro.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
