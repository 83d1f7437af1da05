"""What a person sees of a run, and how a run is stopped."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from coala_kedro.nnunet.process import stop_all
from coala_kedro.rehearsal import rehearse, tell
from coala_kedro.work import WorkStoppedError

logger = logging.getLogger(__name__)

TABLE = "table_2"


class StopHooks:
    """Ends a run in good order when it is asked to: by SIGTERM (a scheduler's) or Ctrl-C."""

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Listen; a second signal ends the run at once."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _stop)


def _stop(number: int, _: Any) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    stop_all()
    raise WorkStoppedError(
        f"{signal.Signals(number).name}: the run was asked to stop. What was finished is kept, and "
        "trainings write a checkpoint: run the same command again."
    )


class ResultHooks:
    """Says what a run will train, and shows the study's table when a run has made it."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log which trainings stand and which will be made again, and why."""
        for line in tell(rehearse(pipeline, catalog)):
            logger.info(line)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log Table 2, teacher beside student."""
        if TABLE in pipeline.all_outputs():
            table = catalog.load(TABLE)
            logger.info("Table 2\n%s", table.to_string(index=False, na_rep=""))
