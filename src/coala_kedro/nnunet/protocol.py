"""How teacher and student are trained; it decides the result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from coala_kedro.fingerprint import DECIDES_NOTHING


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Planning(_Settings):
    """What nnU-Net's planner may use; its defaults are nnU-Net's own."""

    gpu_memory_target_gb: float = Field(8.0, gt=0)
    base_features: int = Field(32, ge=2)
    max_features: int = Field(320, ge=2)
    convolutions_per_stage: int = Field(2, ge=1)
    intensity_samples: int = Field(100_000_000, ge=1000, description="Foreground voxels, in all.")


class Optimiser(_Settings):
    """The optimiser; nnU-Net's own is Nesterov SGD, momentum 0.99, weight decay 3e-5."""

    name: Literal["sgd", "adam"] = "sgd"
    initial_learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.99, ge=0, lt=1, description="Of SGD.")
    weight_decay: float = Field(3e-5, ge=0)


class Protocol(_Settings):
    """How teacher and student are trained, one fold and stage; part of every fingerprint.

    Only what differs from its default is: with a changed default comes a new version of the recipe.
    """

    planning: Planning = Planning()
    optimiser: Optimiser = Optimiser()
    epochs: int = Field(1000, ge=1)
    iterations_per_epoch: int = Field(250, ge=1)
    validation_iterations_per_epoch: int = Field(50, ge=1)
    foreground_oversampling: float = Field(0.33, ge=0, le=1)
    mirroring: bool = Field(True, description="Augment, validate and predict with mirrored scans.")
    checkpoint_every_epochs: int = Field(50, ge=1, json_schema_extra=DECIDES_NOTHING)
    seed: int = Field(0, ge=0)
