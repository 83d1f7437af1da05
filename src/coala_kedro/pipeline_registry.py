"""The project's pipelines."""

import warnings

from kedro.pipeline import Pipeline

from coala_kedro.context import StudyContext
from coala_kedro.pipelines import (
    evaluation,
    model_training,
    phantom,
    preprocessing,
    pseudolabel,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; `study` is the default, `demo` the study of a synthetic hospital."""
    # Kedro warns of any dotted dataset that crosses a namespace, also of those its own namespaces
    # made: `internal.scans` is meant to be read by teacher, student and evaluation.
    warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
    cohorts = StudyContext.register()
    study = {
        "preprocessing": preprocessing.create_pipeline(cohorts),
        "teacher": model_training.create_pipeline("teacher", pseudo_labels=False),
        "pseudolabel": pseudolabel.create_pipeline(),
        "student": model_training.create_pipeline("student", pseudo_labels=True),
        "evaluation": evaluation.create_pipeline(cohorts),
    }
    whole = sum(study.values(), Pipeline([]))
    hospital = phantom.create_pipeline(cohorts)
    return study | {
        "phantom": hospital,
        "study": whole,
        "demo": hospital + whole,
        "__default__": whole,
    }
