"""Parameters of every prediction: how it is made, and on which machine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Inference(BaseModel):
    """How a trained model predicts; nnU-Net's own defaults.

    A model that was trained without mirroring predicts without it in any case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tile_step_size: float = Field(0.5, gt=0, le=1)
    mirroring: bool = True


class Compute(BaseModel):
    """The machine; changing it makes nothing stale.

    Attributes:
        device: `auto` takes GPUs where there are some.
        processes: nnU-Net processes at the same time, each with a GPU that no other has: what finds
            none waits.
        torch_threads: Of each process, on the CPU.
        augmentation_workers: Of each training. 0 augments in the training's own process, the only
            way to the same weights in every run.
        pool: What nnU-Net's own worker pools are made of. Threads start at once and suit small
            volumes; processes suit CT at full size.
        pool_workers: Size of such a pool.
        warm: One process serves many trainings; else each training has its own.
        compile: Whether networks are compiled (`torch.compile`). `auto`: as `nnUNet_compile` in the
            environment says; without it, on GPUs where there is a C compiler.
        max_hours: A training stops in good order when its study (on a cluster, the job) has run for
            so long: set it below the walltime. None for no limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = "auto"
    processes: int = Field(1, ge=1)
    torch_threads: int = Field(4, ge=1)
    augmentation_workers: int = Field(12, ge=0)
    pool: Literal["processes", "threads"] = "processes"
    pool_workers: int = Field(4, ge=1)
    warm: bool = False
    compile: Literal["auto", "on", "off"] = "auto"
    max_hours: float | None = Field(None, gt=0)

    @property
    def fingerprint(self) -> str:
        """Empty: the machine does not decide what is asked for."""
        return ""
