"""What a person sees of a run, and how a run is stopped."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from coala_kedro.forecast import forecast
from coala_kedro.organs import OrganSegmenterError
from coala_kedro.pipelines.preprocessing.checks import Screening
from coala_kedro.processes import RunStoppedError, start_again, stop_all

logger = logging.getLogger(__name__)

TABLE = "table_2"
SCREENING = "params:screening"


class StopHooks:
    """Ends a run in good order when it is asked to: by SIGTERM (a scheduler's) or Ctrl-C.

    After the run everything is as before: the signals' handlers, and processes may start.
    """

    @hook_impl(wrapper=True)
    def before_pipeline_run(self) -> Iterator[None]:
        """Listen; a second signal ends the process, or at a prompt does what it did before."""
        _listen_no_longer()  # to a run that ended by an interrupt, of which Kedro tells no hook
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                _former[number] = signal.signal(number, _stop) or signal.SIG_DFL
        try:
            return (yield)
        except BaseException:  # of another hook; Kedro tells none
            _listen_no_longer()
            raise

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Listen no longer."""
        _listen_no_longer()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Listen no longer, and let a next run start processes."""
        _listen_no_longer()


_former: dict[int, Any] = {}  # not in the hooks: they are pickled for the workers of a cluster


def _stop(number: int, _: Any) -> None:
    for each, former in _former.items():
        signal.signal(each, former if hasattr(sys, "ps1") else signal.SIG_DFL)
    stop_all()
    raise RunStoppedError(
        f"{signal.Signals(number).name}: the run was asked to stop. What was finished is kept, and "
        "trainings write a checkpoint: run the same command again."
    )


def _listen_no_longer() -> None:
    if threading.current_thread() is threading.main_thread():
        while _former:
            signal.signal(*_former.popitem())
        start_again()


class ReadyHooks:
    """Looks, before the first scan is read, for what a step of hours later needs."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Make sure that the organ segmenters have their weights.

        Raises:
            OrganSegmenterError: They are missing, and organ masks are to be made.
        """
        for node in pipeline.nodes:
            asked = [name for name in node.inputs if name.endswith("organ_segmenter")]
            makes_masks, makes_anatomy = (
                any(output.endswith(made) for output in node.outputs)
                for made in (".organ_masks", ".anatomy")
            )
            phase = makes_anatomy and _asks_phase(catalog)
            if not asked or not (makes_masks or phase):
                continue
            try:
                catalog.load(asked[0]).require(phase=phase)
            except OrganSegmenterError as error:
                if not all(catalog.exists(output) for output in node.outputs):
                    raise
                logger.warning("Scans that are new or changed cannot be segmented: %s", error)


def _asks_phase(catalog: DataCatalog) -> bool:
    # Kedro has made a model of it where a node of the run names its type.
    screening = Screening.model_validate(catalog.load(SCREENING) if SCREENING in catalog else {})
    return screening.severity.get("contrast_phase") != "ignore"


class ResultHooks:
    """Forecasts what a run will train, and shows the study's table when a run has made it."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log which trainings stand or will be made again and why, and which nodes will fail."""
        expected = forecast(pipeline, catalog)
        for line in expected.lines():
            logger.info(line)
        for node, fault in expected.faults.items():
            logger.warning("The node %s will fail: %s", node, fault)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log Table 2, teacher beside student."""
        if TABLE in pipeline.all_outputs():
            table = catalog.load(TABLE)
            logger.info("Table 2\n%s", table.to_string(index=False, na_rep=""))
