"""The training of one model, teacher or student."""

from coala_kedro.pipelines.model_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
