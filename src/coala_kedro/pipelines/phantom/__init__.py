"""A synthetic hospital in the raw layout, to try the study on."""

from coala_kedro.pipelines.phantom.pipeline import create_pipeline

__all__ = ["create_pipeline"]
