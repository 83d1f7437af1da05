"""Settings of a cluster; they change no result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _ClusterSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slurm(_ClusterSettings):
    """One SLURM job, which is one worker.

    Attributes:
        queue: The partition; None takes the cluster's default.
        account: Whom the hours are charged to.
        cores: Of each job.
        memory: Of each job, as `64GB`.
        walltime: Of each job, as SLURM writes it. A job that reaches it is replaced by another,
            and its training goes on from the last checkpoint.
        interface: Network interface over which jobs and scheduler reach each other, as `ib0`.
        directives: Further options of `sbatch`; they ask for the GPU.
        prologue: Shell lines before the worker starts, such as `module load cuda`.
        log_folder: Where the jobs' output goes, from the folder `kedro run` was called in.
    """

    queue: str | None = None
    account: str | None = None
    cores: int = Field(8, ge=1)
    memory: str = "64GB"
    walltime: str = "24:00:00"
    interface: str | None = None
    directives: tuple[str, ...] = ("--gres=gpu:1",)
    prologue: tuple[str, ...] = ()
    log_folder: str = "logs/slurm"


class Cluster(_ClusterSettings):
    """Where `DaskRunner` works.

    Attributes:
        kind: `local` starts workers on this machine, `slurm` submits jobs, `scheduler` uses what
            others started at `address`.
        workers: Workers to start, each with a GPU of its own; None is as many as this machine has
            GPUs, or one without.
        threads_per_worker: Nodes and scans that a worker has in hand at the same time. At most one
            of them uses the GPU; the others keep a day's training from holding up the rest.
        address: Of the scheduler, as `tcp://host:8786`, or the path of its `--scheduler-file`.
        dashboard_address: Where the scheduler shows its state. It asks nobody for a password: keep
            it on the loopback, and reach it through `ssh -L`.
        lost_workers: A node that has lost more workers than this is given up.
        slurm: The jobs of kind `slurm`.
    """

    kind: Literal["local", "scheduler", "slurm"] = "local"
    workers: int | None = Field(None, ge=1)
    threads_per_worker: int = Field(2, ge=1)
    address: str | None = None
    dashboard_address: str = "127.0.0.1:0"
    lost_workers: int = Field(10, ge=0)
    slurm: Slurm = Slurm()

    @model_validator(mode="after")
    def _address_where_there_is_a_scheduler(self) -> Cluster:
        if (self.kind == "scheduler") != (self.address is not None):
            raise ValueError(
                f"cluster.kind is '{self.kind}' and cluster.address is {self.address!r}: "
                "a running scheduler is kind 'scheduler' with its address, as tcp://host:8786, or "
                "its file; all others have no address."
            )
        return self
