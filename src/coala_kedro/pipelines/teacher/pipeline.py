"""The teacher's training; its steps are in `coala_kedro.training`."""

from kedro.pipeline import Pipeline

from coala_kedro.training import create_training_pipeline


def create_pipeline() -> Pipeline:
    """Five folds of lowres and cascade on the internal cohort's manual scans."""
    return create_training_pipeline("teacher", pseudo_labels=False)
