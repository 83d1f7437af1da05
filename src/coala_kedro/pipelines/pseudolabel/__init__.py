"""The teacher's label maps of the scans nobody outlined."""

from coala_kedro.pipelines.pseudolabel.pipeline import create_pipeline

__all__ = ["create_pipeline"]
