"""The student: trained on the outlined and the pseudo-labelled scans."""

from coala_kedro.pipelines.student.pipeline import create_pipeline

__all__ = ["create_pipeline"]
