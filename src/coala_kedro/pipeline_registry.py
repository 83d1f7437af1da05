"""The project's pipelines."""

import warnings

from kedro.pipeline import Pipeline

from coala_kedro.pipelines import (
    evaluation,
    phantom,
    preprocessing,
    pseudolabel,
    student,
    teacher,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; `study` is the default, `demo` the study of a synthetic hospital."""
    # Kedro warns of any dotted dataset that crosses a namespace, also of those its own namespaces
    # made: `internal.scans` is meant to be read by teacher, student and evaluation.
    warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
    study = {
        "preprocessing": preprocessing.create_pipeline(),
        "teacher": teacher.create_pipeline(),
        "pseudolabel": pseudolabel.create_pipeline(),
        "student": student.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
    }
    whole = sum(study.values(), Pipeline([]))
    hospital = phantom.create_pipeline()
    return study | {
        "phantom": hospital,
        "study": whole,
        "demo": hospital + whole,
        "__default__": whole,
    }
