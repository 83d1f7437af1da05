"""MLflow's tags, without who ran a study, on which host and in which folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

_PARAMETER = "mlflow_tells_who_and_where"
_TAGS_FROM_ENVIRONMENT = "MLFLOW_RUN_CONTEXT"
"""MLflow's environment variable, in JSON; tags that it already holds take precedence."""
_NOBODY = {"mlflow.user": "", "mlflow.source.name": "kedro", "mlflow.source.git.repoURL": ""}


class PrivateTagsHooks:
    """Keeps users, hosts and folders from MLflow's tags; registered before anything opens a run."""

    def __init__(self) -> None:
        self._keeps_all = False

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Leave user, script and repository out of MLflow's tags, unless a parameter asks for them.

        Args:
            context: Kedro's, with the run's parameters.

        Raises:
            ValueError: The parameter is neither true nor false.
        """
        asked = context.config_loader["parameters"].get(_PARAMETER, False)
        if not isinstance(asked, bool):
            raise ValueError(f"The parameter {_PARAMETER} must be true or false, not {asked!r}.")
        self._keeps_all = asked
        if not asked:
            given = json.loads(os.environ.get(_TAGS_FROM_ENVIRONMENT, "{}"))
            os.environ[_TAGS_FROM_ENVIRONMENT] = json.dumps(_NOBODY | given)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Leave folders out of the run's parameters, which kedro-mlflow turns into tags.

        Args:
            run_params: Of the run; changed in place.
        """
        if not self._keeps_all:
            run_params["project_path"] = ""
            run_params["runtime_params"] = _without_places(run_params["runtime_params"] or {})


def _without_places(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters but for paths and URLs."""
    return {
        name: _without_places(value) if isinstance(value, Mapping) else value
        for name, value in parameters.items()
        if isinstance(value, Mapping) or "/" not in str(value)  # lists of them too
    }
