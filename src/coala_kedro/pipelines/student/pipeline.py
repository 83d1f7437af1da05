"""The student's training; its steps are in `coala_kedro.training`."""

from kedro.pipeline import Pipeline

from coala_kedro.training import create_training_pipeline


def create_pipeline() -> Pipeline:
    """Five folds of lowres and cascade on manual and pseudo-labelled scans."""
    return create_training_pipeline("student", pseudo_labels=True)
