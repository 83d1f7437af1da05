"""Which cohorts a study has: its environment names them, and its pipelines are made of them."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines

COHORTS = ("internal", "external")
"""The cohorts of conf/base: models learn from the first, and are tested on all."""

TAKEN = ("internal", "teacher", "student", "pseudolabel", "evaluation", "summary")
"""Names that the pipelines use otherwise: no external cohort may have one."""

_NAME = r"(?!.*_(lesion|organ|reader)$)[a-z][a-z0-9_]{0,63}"


def study_cohorts(external: Any) -> tuple[str, ...]:
    """The cohorts of a study: `internal`, then the external ones in the order given.

    Args:
        external: The names of the external cohorts, as a configuration has them.

    Raises:
        ValueError: It is no list, or an empty one, or a name cannot be used or is there twice.
    """
    if not isinstance(external, list | tuple) or not external:
        raise ValueError(
            f"external_cohorts (globals.yml) must be a list, such as [external, boston]; it is "
            f"{external!r}."
        )
    for place, name in enumerate(external):
        if not re.fullmatch(_NAME, str(name)):
            fault = (
                "must be small letters, digits and '_', the first a letter, at most 64, and must "
                "not end in _lesion, _organ or _reader, as names of tables do"
            )
        elif name in TAKEN:
            fault = f"is taken: {', '.join(TAKEN)} are no external cohorts"
        elif name in external[:place]:
            fault = "is there twice"
        else:
            continue
        raise ValueError(f"external_cohorts (globals.yml): the name '{name}' {fault}.")
    return "internal", *external


class StudyContext(KedroContext):
    """Kedro's context, which has the pipelines made of the cohorts that its environment names.

    `external_cohorts` in globals.yml names them. Kedro makes a context before it reads the
    pipelines wherever an environment can be chosen: in `kedro run`, `kedro catalog`, `kedro viz`
    (which calls no hook) and notebooks. Commands that know no environment, such as `kedro registry
    describe`, show the pipelines of `COHORTS`.
    """

    cohorts: ClassVar[tuple[str, ...]] = COHORTS
    """Of the newest context in the process: a run makes its own."""
    registered: ClassVar[tuple[str, ...] | None] = None
    """The cohorts that Kedro's pipelines were made of; None before they are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = self.config_loader["globals"].get("external_cohorts", COHORTS[1:])
        StudyContext.cohorts = study_cohorts(named)
        if StudyContext.registered not in (None, self.cohorts):
            # Kedro keeps the pipelines of an earlier session in the same process.
            pipelines.configure("coala_kedro.pipeline_registry")

    @classmethod
    def register(cls) -> tuple[str, ...]:
        """The cohorts to make pipelines of."""
        cls.registered = cls.cohorts
        return cls.cohorts
