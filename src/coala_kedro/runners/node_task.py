"""What a worker does: one node, as a sequential run would do it."""

from __future__ import annotations

import logging
import multiprocessing
import os
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Worker, get_client, get_worker
from joblib import parallel_config
from joblib._dask import DaskDistributedBackend
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node
from kedro.runner.task import Task

from coala_kedro.progress import told_to
from coala_kedro.runners.cluster import GPU, ClusterError

PROGRESS, LOG = "coala-progress", "coala-log"
"""Topics under which workers tell the client how far they are, and what they log."""

PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True)
class NodeTask:
    """A node and all that a worker needs for it.

    Attributes:
        node: The node.
        catalog: Its inputs and outputs, among others.
        hooks: The run's hooks, as they were before the first node.
        run_id: Of the session.
        log_level: Of this project.
        priority: A free worker takes what has more of it first.
        n_gpus: Scans in hand at a time if they need a GPU: what waits at a worker that is then
            given a training goes nowhere else.
    """

    node: Node
    catalog: CatalogProtocol
    hooks: tuple[Any, ...]
    run_id: str | None
    log_level: int
    priority: int
    n_gpus: int = 1

    @property
    def on_gpu(self) -> bool:
        """Whether it needs GPUs."""
        return "gpu" in self.node.tags

    @property
    def by_scan(self) -> bool:
        """Whether its work is spread over the workers scan by scan."""
        outputs = (self.catalog.get(name) for name in self.node.outputs)
        return all(getattr(output, "made_by_scan", False) for output in outputs)

    @property
    def has_gpu(self) -> bool:
        """Whether it has a worker's GPU to itself, as a training."""
        return self.on_gpu and not self.by_scan

    def __call__(self) -> None:
        """Load the inputs, run the node, save the outputs; hooks are called as in any run."""
        worker = get_worker()
        if multiprocessing.current_process().daemon:
            raise ClusterError(
                f"The worker {worker.address} is a daemon, and may start no process to train in: "
                "start it with DASK_DISTRIBUTED__WORKER__DAEMON=False in its environment."
            )
        _forget_nanny()
        logger = logging.getLogger(PACKAGE)
        logger.setLevel(self.log_level)
        logger.propagate = False  # the client shows it
        # Not by Dask's `forward_logging`: Kedro's configuration removes its handler in the worker.
        logger.handlers = [_ToClient(worker)]
        manager = _create_hook_manager()
        for hook in self.hooks:
            manager.register(hook)
        with (
            parallel_config(backend=_ByScan(self)),
            told_to(lambda state: worker.log_event(PROGRESS, {"state": state})),
        ):
            Task(self.node, self.catalog, False, manager, run_id=self.run_id).execute()


def _forget_nanny() -> None:
    """Keep from trainings what Dask sets for its own workers.

    Among it is `MALLOC_TRIM_THRESHOLD_`, which hands memory back to the system after every step: a
    training on the CPU then takes twice as long.
    """
    for name, value in dask.config.get("distributed.nanny.pre-spawn-environ").items():
        if os.environ.get(name) == str(value):
            del os.environ[name]


class _ToClient(logging.Handler):
    """Tells the client what this project logs in a worker."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        told = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
        self._worker.log_event(LOG, told | {"msg": record.getMessage()})


class _ByScan(DaskDistributedBackend):
    """joblib's Dask backend; a batch whose worker died too often raises instead of hanging."""

    def __init__(self, task: NodeTask) -> None:
        resources = {GPU: 1} if task.on_gpu else {}
        super().__init__(client=get_client(), resources=resources, priority=task.priority)
        self._task = task

    def effective_n_jobs(self, n_jobs: int | None = 1) -> int:
        return self._task.n_gpus if self._task.on_gpu else super().effective_n_jobs(n_jobs)

    def submit(self, func: Any, callback: Any = None) -> Any:
        future = super().submit(func, callback)
        future.add_done_callback(
            lambda ended: callback(ended.exception()) if ended.exception() else None
        )
        return future
