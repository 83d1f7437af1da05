"""The project's pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from kedro.pipeline import Pipeline

from coala_kedro.context import StudyContext

_WHOLE = ("preprocessing", "teacher", "pseudolabel", "student", "evaluation")
_WHOLES = {"study": _WHOLE, "demo": ("phantom", *_WHOLE), "__default__": _WHOLE}


class _Pipelines(Mapping[str, Pipeline]):
    """The pipelines by name; a step is imported when it, or a whole that it is part of, is read."""

    def __init__(self, cohorts: tuple[str, ...]) -> None:
        self._steps: dict[str, Callable[[], Pipeline]] = {
            "phantom": lambda: _package("phantom").create_pipeline(cohorts),
            "preprocessing": lambda: _package("preprocessing").create_pipeline(cohorts),
            "teacher": lambda: _training("teacher", pseudo_labels=False),
            "pseudolabel": lambda: _package("pseudolabel").create_pipeline(),
            "student": lambda: _training("student", pseudo_labels=True),
            "evaluation": lambda: _package("evaluation").create_pipeline(cohorts),
        }

    def __getitem__(self, name: str) -> Pipeline:
        if name in _WHOLES:
            return sum((self[step] for step in _WHOLES[name]), Pipeline([]))
        return self._steps[name]()

    def __iter__(self) -> Iterator[str]:
        return iter([*self._steps, *_WHOLES])

    def __len__(self) -> int:
        return len(self._steps) + len(_WHOLES)


def _package(name: str) -> Any:
    return import_module(f"coala_kedro.pipelines.{name}")


def _training(model: str, *, pseudo_labels: bool) -> Pipeline:
    pipeline: Pipeline = _package("model_training").create_pipeline(
        model, pseudo_labels=pseudo_labels
    )
    return pipeline


def register_pipelines() -> Mapping[str, Pipeline]:
    """Every pipeline by name; `study` is the default, `demo` the study of a synthetic hospital.

    Kedro's `find_pipelines` imports the asked ones alone too, but finds neither the two trainings,
    which share a package, nor the pipelines that are several steps together.
    """
    # Kedro warns of any dotted dataset that crosses a namespace, also of those its own namespaces
    # made: `internal.scans` is meant to be read by teacher, student and evaluation.
    warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
    return _Pipelines(StudyContext.register())
