"""The teacher: trained on the outlined scans."""

from coala_kedro.pipelines.teacher.pipeline import create_pipeline

__all__ = ["create_pipeline"]
