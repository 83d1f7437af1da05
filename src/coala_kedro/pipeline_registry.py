"""The project's pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from kedro.pipeline import Pipeline

_STUDY: dict[str, tuple[str, dict[str, Any]]] = {
    "preprocessing": ("preprocessing", {}),
    "teacher": ("model_training", {"model": "teacher", "pseudo_labels": False}),
    "pseudolabel": ("pseudolabel", {}),
    "student": ("model_training", {"model": "student", "pseudo_labels": True}),
    "evaluation": ("evaluation", {}),
}
"""The steps of the study: the package of each in `coala_kedro.pipelines`, and its arguments."""
_STEPS = _STUDY | {"phantom": ("phantom", {})}
_WHOLES = {
    "study": tuple(_STUDY),
    "demo": ("phantom", *_STUDY),
    "__default__": tuple(_STUDY),
}


class _Pipelines(Mapping[str, Pipeline]):
    """The pipelines by name; a step is imported when it, or a whole that it is part of, is read."""

    def __getitem__(self, name: str) -> Pipeline:
        if name in _WHOLES:
            return sum((self[step] for step in _WHOLES[name]), Pipeline([]))
        package, arguments = _STEPS[name]
        step: Pipeline = import_module(f"coala_kedro.pipelines.{package}").create_pipeline(
            **arguments
        )
        return step

    def __iter__(self) -> Iterator[str]:
        return iter([*_STEPS, *_WHOLES])

    def __len__(self) -> int:
        return len(_STEPS) + len(_WHOLES)


def register_pipelines() -> Mapping[str, Pipeline]:
    """Every pipeline by name; `study` is the default, `demo` the study of a synthetic hospital.

    Kedro's `find_pipelines` imports the asked ones alone too, but finds neither the two trainings,
    which share a package, nor the pipelines that are several steps together.
    """
    # Kedro warns of any dotted dataset that crosses a namespace, also of those its own namespaces
    # made: `internal.scans` is meant to be read by teacher, student and evaluation.
    warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
    return _Pipelines()
