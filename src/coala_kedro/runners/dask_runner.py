"""Kedro's nodes on a Dask cluster."""

from __future__ import annotations

import logging
import queue
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from distributed import Future
from distributed.scheduler import KilledWorker
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import AbstractRunner
from pluggy import PluginManager

from coala_kedro.progress import Bars
from coala_kedro.runners.cluster import GPU, ClusterError, OpenCluster, open_cluster
from coala_kedro.runners.cluster_settings import Cluster
from coala_kedro.runners.node_task import LOG, PACKAGE, PROGRESS, NodeTask

logger = logging.getLogger(__name__)

PARAMETERS = "params:cluster"

_RENEW_EVERY_S = 15.0
_LOST = (
    "{} was given up: its scheduler ended, or somebody cancelled it. What it had finished is kept: "
    "run the same command again."
)


class DaskRunner(AbstractRunner):
    """Hands each node to a worker of a Dask cluster as soon as its inputs stand.

    Nodes tagged `gpu` go to workers with the resource `GPU`, one at a time; where their outputs are
    made scan by scan, each scan does, so that they spread over all GPUs. The cluster is described
    by the parameters `cluster` (`coala_kedro.runners.cluster_settings.Cluster`). Workers and this
    process share the file system: what nodes hand on is read from the catalog's files.

    A node whose worker dies is run again by another. When a node fails, those that do not need it
    go on; the run then ends with the node's error.

    Examples:
        ```
        kedro run --runner coala_kedro.runners.DaskRunner
        kedro run --runner coala_kedro.runners.DaskRunner --runner-params workers=2
        kedro run --runner coala_kedro.runners.DaskRunner --params cluster.kind=slurm
        ```
    """

    def __init__(self, is_async: bool = False, **changes: Any) -> None:
        """Create the runner.

        Args:
            is_async: Kedro's; not for this runner.
            changes: What is to be different from the parameters `cluster`.

        Raises:
            ValueError: `is_async` was asked for.
        """
        if is_async:
            raise ValueError("DaskRunner loads and saves in its workers: leave out --async.")
        super().__init__()
        self._changes = changes

    def _get_executor(self, max_workers: int) -> None:
        """Unused: the cluster executes."""

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        _refuse_memory(pipeline, catalog)
        described = catalog.load(PARAMETERS) if PARAMETERS in catalog else {}
        slurm = described.get("slurm", {}) | self._changes.get("slurm", {})
        settings = Cluster.model_validate(described | self._changes | {"slurm": slurm})
        hooks = hook_manager.get_plugins() if isinstance(hook_manager, PluginManager) else ()
        tasks = {
            node: NodeTask(
                node,
                catalog,
                tuple(hooks),
                run_id,
                logging.getLogger(PACKAGE).getEffectiveLevel(),
                priority,
            )
            for node, priority in _priorities(pipeline).items()
        }
        with open_cluster(settings) as cluster, _shown(cluster):
            done, error = _run_all(cluster, pipeline, tasks)
        if error:
            self._suggest_resume_scenario(pipeline, done, catalog)
            raise error


def _refuse_memory(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    for node in pipeline.nodes:
        for name in node.outputs:
            dataset = catalog.get(name)
            if isinstance(dataset, MemoryDataset) or getattr(dataset, "_SINGLE_PROCESS", False):
                raise ValueError(
                    f"'{name}', made by node '{node.name}', is held in memory, which workers do "
                    "not share: give it a catalog entry with a file, or run without DaskRunner."
                )


def _priorities(pipeline: Pipeline) -> dict[Node, int]:
    """How many nodes wait for each node, at first hand or further on; most first.

    So the student's trainings start as early as they can, and the teacher's test scans are
    predicted where a GPU has nothing better to do.
    """
    waiting: dict[Node, set[Node]] = {node: set() for node in pipeline.nodes}
    for node in reversed(pipeline.nodes):  # what waits for a node comes after it
        for needed in pipeline.node_dependencies[node]:
            waiting[needed] |= {node} | waiting[node]
    return {
        node: len(waiting[node])
        for node in sorted(pipeline.nodes, key=lambda node: -len(waiting[node]))
    }


def _run_all(
    cluster: OpenCluster, pipeline: Pipeline, tasks: dict[Node, NodeTask]
) -> tuple[set[Node], Exception | None]:
    """Run every node whose inputs can be made; the nodes that were, and the first error."""
    waiting = dict.fromkeys(tasks)
    needs = pipeline.node_dependencies
    ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
    running: dict[Future, NodeTask] = {}
    done: set[Node] = set()
    errors: list[Exception] = []
    try:
        while True:
            if cluster.is_lost:
                return done, errors[0] if errors else ClusterError(_LOST.format("The run"))
            ready = [tasks[node] for node in waiting if needs[node] <= done]
            for task in _startable(cluster, ready, [*running.values()]):
                del waiting[task.node]
                running[_submit(cluster, task, ended)] = task
            if not ready and not running:
                return done, errors[0] if errors else None
            try:
                future = ended.get(timeout=_RENEW_EVERY_S)
            except queue.Empty:
                cluster.renew()
                continue
            node = running.pop(future).node
            if error := _error_of(future, node):
                logger.error("Node %s failed: %s", node.name, error)
                errors.append(error)
            else:
                done.add(node)
                logger.info("Completed node: %s", node.name)
                logger.info("Completed %d out of %d tasks", len(done), len(tasks))
    finally:
        cluster.stop([*running])


def _startable(
    cluster: OpenCluster, ready: list[NodeTask], running: list[NodeTask]
) -> list[NodeTask]:
    """What can start: all that needs no GPU, and of the rest what finds a GPU free.

    Dask would give each training at once to a worker and leave it there, behind a day's training,
    while another worker's GPU falls idle. Scans take what trainings leave, and do not compete with
    steps that more nodes wait for; a training that comes later waits for a scan at most.
    """
    if not any(task.on_gpu for task in ready):
        return ready
    others = [task for task in ready if not task.on_gpu]
    free = cluster.n_gpus - sum(task.has_gpu for task in running)
    trainings = [task for task in ready if task.has_gpu][: max(free, 0)]
    scans = [task for task in ready if task.on_gpu and task.by_scan]
    if scans and free > len(trainings):
        under_way = [task.priority for task in (*scans, *others, *running) if not task.has_gpu]
        others += [task for task in scans if task.priority == max(under_way)]
    return others + trainings


def _submit(cluster: OpenCluster, task: NodeTask, ended: queue.SimpleQueue[Future]) -> Future:
    key = f"{task.node.name}-{uuid.uuid4().hex}"
    if task.has_gpu:
        cluster.expect_long(key)
    elif task.on_gpu:
        task = replace(task, n_gpus=max(cluster.n_gpus, cluster.n_workers))
    resources = {GPU: 1} if task.has_gpu else {}
    future = cluster.client.submit(task, key=key, resources=resources, priority=task.priority)
    future.add_done_callback(ended.put)
    return future


def _error_of(future: Future, node: Node) -> Exception | None:
    try:
        future.result()
    except KilledWorker:
        return ClusterError(
            f"Node '{node.name}' was given up: each worker that ran it died, most often for want "
            "of memory. What it had finished is kept; cluster.lost_workers says how many may die."
        )
    except CancelledError:
        return ClusterError(_LOST.format(f"Node '{node.name}'"))
    except Exception as error:
        return error
    return None


@contextmanager
def _shown(cluster: OpenCluster) -> Iterator[None]:
    """Show on this console what workers log, and how far they are."""
    client, bars = cluster.client, Bars()
    client.subscribe_topic(PROGRESS, lambda event: bars.show(event[1]["state"]))
    client.subscribe_topic(LOG, lambda event: _log(event[1]))
    try:
        yield
    finally:
        bars.close()


def _log(told: dict[str, Any]) -> None:
    record = logging.makeLogRecord(told)
    logging.getLogger(record.name).handle(record)
