"""What a person sees at the end of a run."""

from __future__ import annotations

import logging
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)

TABLE = "table_2"


class ResultHooks:
    """Shows the study's table when a run has made it."""

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log Table 2, teacher beside student."""
        if TABLE in pipeline.all_outputs():
            table = catalog.load(TABLE)
            logger.info("Table 2\n%s", table.to_string(index=False, na_rep=""))
