"""Clusters: local workers, a scheduler that runs already, SLURM jobs."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path

import dask
from dask.utils import key_split
from dask_jobqueue import SLURMCluster
from distributed import Client, Future, Nanny, Scheduler, SpecCluster, Status

from coala_kedro.processes import visible_gpus
from coala_kedro.runners.cluster_settings import Cluster

logger = logging.getLogger(__name__)

GPU = "GPU"
"""The resource of workers that own a GPU: one each."""

LOOPBACK = "127.0.0.1"

_LONG = "7 days"
_ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
# Hands memory back to the system at every step: image processing takes four times as long.
_UNSET = {"MALLOC_TRIM_THRESHOLD_": None}
_LAST_WORDS_S = 30

_QUIET = logging.WARNING
# Dask sets its own level when it is imported: it tells every connection.
logging.getLogger("distributed").setLevel(_QUIET)


class ClusterError(RuntimeError):
    """A cluster cannot be had, or a worker cannot do the study's work."""


@dataclass(frozen=True)
class OpenCluster:
    """A cluster at work.

    Attributes:
        client: Submits to it.
        renew: Submits SLURM jobs for those that have ended; to be called from time to time.
        ours: Whether it ends with this run.
        n_workers: Workers that it was asked for; some may still be on their way.
    """

    client: Client
    renew: Callable[[], object] = lambda: None
    ours: bool = True
    n_workers: int = 1

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler has ended, and every node with it."""
        return bool(self.client.status != "running")

    @property
    def n_gpus(self) -> int:
        """GPUs of the workers that are there now."""
        workers = self.client.scheduler_info(n_workers=-1).get("workers", {})  # if not lost
        return int(sum(worker["resources"].get(GPU, 0) for worker in workers.values()))

    def expect_long(self, key: str) -> None:
        """Tell the scheduler that a task takes long, so that its worker gets nothing else.

        Dask takes a task that it does not know for one of half a second, and would give a worker
        with few scans in hand two trainings.

        Args:
            key: Of the task, before it is submitted.
        """
        self.client.run_on_scheduler(_expect, {key_split(key): _LONG})

    def stop(self, running: Sequence[Future]) -> None:
        """End what a run leaves on the cluster: nodes that run, processes that wait for more.

        A thread cannot be stopped, but the process that it waits for, and a training that nobody
        waits for would hold its GPU for days.

        Args:
            running: The nodes that have not ended.
        """
        if self.is_lost:
            return  # workers end by themselves
        keys = {future.key for future in running}
        processing = self.client.processing()
        workers = [at for at, held in processing.items() if self.ours or keys & {*held}]
        self.client.cancel([*running])
        self.client.run(_end_processes, workers=workers, on_error="ignore")
        if self.ours:
            # A worker's last garbage collection takes seconds; Dask kills what takes more than 4.
            self.client.run(gc.freeze, on_error="ignore")


def _expect(durations: dict[str, str]) -> None:
    place = "distributed.scheduler.default-task-durations"
    dask.config.set({place: dask.config.get(place) | durations})


async def _end_processes() -> None:
    """Ask the worker's processes to end, and wait while they write what they have."""
    for child in multiprocessing.active_children():
        child.terminate()
    waited_s = 0.0
    while multiprocessing.active_children() and waited_s < _LAST_WORDS_S:
        await asyncio.sleep(0.1)
        waited_s += 0.1


@contextmanager
def open_cluster(settings: Cluster) -> Iterator[OpenCluster]:
    """Start a cluster or join one; what was started is gone at the end.

    Args:
        settings: What is to be started, or where it runs.

    Raises:
        ClusterError: More local workers than GPUs are asked for, or SLURM takes no job.
    """
    config = {
        # A worker's nodes start processes, which a daemon must not.
        "distributed.worker.daemon": False,
        "distributed.scheduler.allowed-failures": settings.lost_workers,
        _ENVIRONMENT: dask.config.get(_ENVIRONMENT) | _UNSET,
        # Dask watches its own processes many times a second: a tenth of a core for two workers.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
    }
    if settings.kind == "scheduler":
        place = "address" if "://" in str(settings.address) else "scheduler_file"
        with Client(**{place: settings.address}, set_as_default=False) as client:
            yield OpenCluster(client, ours=False)
        return
    with (
        dask.config.set(config),
        _started(settings) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        logger.info("Dask's dashboard is at %s", cluster.dashboard_link)
        opened = OpenCluster(client, n_workers=len(cluster.worker_spec))
        if settings.kind == "slurm":  # nannies replace local workers
            opened = replace(opened, renew=partial(_replace_lost_jobs, cluster))
        yield opened


@contextmanager
def _started(settings: Cluster) -> Iterator[SpecCluster]:
    with _deaf_to_ctrl_c() as heard:
        cluster = _slurm(settings) if settings.kind == "slurm" else _local(settings)
    with cluster:
        if heard:
            signal.raise_signal(signal.SIGINT)
        yield cluster


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[list[int]]:
    """Start workers that never hear Ctrl-C: this process does, and ends them.

    Yields:
        The signals that come meanwhile, for afterwards.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    # Threads that begin now keep it blocked, and so do the processes that they start.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield heard
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, before)


def _local(settings: Cluster) -> SpecCluster:
    gpus = visible_gpus()
    n_workers = settings.workers or max(1, len(gpus))
    if gpus and n_workers > len(gpus):
        raise ClusterError(
            f"cluster.workers is {n_workers} and the GPUs are {[*gpus]}: two trainings would share "
            f"one. Set cluster.workers to {len(gpus)} or less."
        )
    options = {
        "host": LOOPBACK,
        "nthreads": settings.threads_per_worker,
        "resources": {GPU: 1},
        # Scans are as large as they are; a worker that is stopped for it would only start again.
        "memory_limit": None,
        "silence_logs": _QUIET,
    }
    environments = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [{}] * n_workers
    return SpecCluster(
        workers={
            k: {"cls": Nanny, "options": options | {"env": environment}}
            for k, environment in enumerate(environments[:n_workers])
        },
        scheduler={
            "cls": Scheduler,
            "options": {
                "host": LOOPBACK,
                "port": 0,
                "dashboard_address": settings.dashboard_address,
            },
        },
        silence_logs=_QUIET,
    )


def _slurm(settings: Cluster) -> SpecCluster:
    job = settings.slurm
    logs = Path(job.log_folder).absolute()
    certificates = logs / "certificates"
    certificates.mkdir(parents=True, exist_ok=True)
    certificates.chmod(0o700)
    cluster = SLURMCluster(
        queue=job.queue,
        account=job.account,
        cores=settings.threads_per_worker,
        job_cpu=job.cores,
        processes=1,
        memory=job.memory,
        walltime=job.walltime,
        interface=job.interface,
        job_extra_directives=list(job.directives),
        job_script_prologue=[
            # SLURM tells all of a job to end, and kills what is left of it once its shell has: so
            # that waits until the worker has ended, and trainings have written a checkpoint.
            "trap : TERM",
            "export DASK_DISTRIBUTED__WORKER__DAEMON=False",
            f"export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON={shlex.quote(str(_UNSET))}",
            *job.prologue,
        ],
        worker_extra_args=[
            *("--resources", f"{GPU}=1"),
            *("--dashboard-address", f"{LOOPBACK}:0"),
        ],
        log_directory=str(logs),
        # Anybody who reaches a scheduler may run what they like: certificates of this run alone
        # let its jobs in and nobody else.
        security=True,
        shared_temp_directory=str(certificates),
        scheduler_options={"dashboard_address": settings.dashboard_address},
        silence_logs=_QUIET,
    )
    for _ in range(settings.workers or 1):
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        cluster.sync(cluster._correct_state)  # submits; only so does it say that it could not
    except RuntimeError as error:
        for job in cluster.workers.values():
            if job.job_id is None:
                job.status = Status.failed
        cluster.close()
        raise ClusterError(f"SLURM takes no job as cluster.slurm describes it: {error}") from None
    return cluster


def _replace_lost_jobs(cluster: SpecCluster) -> None:
    """Submit a job for each that has ended: cancelled, evicted, cut off by its walltime."""
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if listed.returncode:  # SLURM's controller rests; it will answer later
        return
    alive = listed.stdout.split()
    for name, job in [*cluster.workers.items()]:
        if job.job_id not in alive:
            logger.warning("SLURM job %s has ended: another is submitted.", job.job_id)
            del cluster.workers[name]
    cluster.scale(len(cluster.worker_spec))
