"""Fingerprints as version 0.1.0 gave them, so that its results stay valid.

Version 0.1.0 (commit c31d49c) knew a recipe by its function's module and name, by every field of
its parameters and by the bytes of its files. A group that has trained with it for three weeks must
not train again for our sake: beside a recipe's fingerprint, the one that 0.1.0 would have given it
counts too, as long as the recipe makes the same as it did then.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from coala_kedro.fingerprint import (
    bound_inputs,
    canonical_data,
    changes,
    digest,
    fingerprint,
    recipe_name,
)


class _NoFormerError(Exception):
    """Version 0.1.0 would have made something else, or nothing."""


@dataclasses.dataclass(frozen=True)
class _Function:
    """A recipe's function as version 0.1.0 had it.

    Attributes:
        name: Module and name.
        positional: Parameters that were bound by position, in their order.
        constants: Fingerprint of the recipe's constants as they were.
        version: The version of the recipe that makes the same.
        made_the_same: Whether it does so of these inputs, by parameter.
    """

    name: str
    positional: tuple[str, ...] = ()
    constants: str = fingerprint({})
    version: int = 1
    made_the_same: Callable[[Mapping[str, Any]], bool] = lambda inputs: True


def _scan_lies_as_the_trained(inputs: Mapping[str, Any]) -> bool:
    """Version 0.1.0 showed nnU-Net, the only kind of model it knew, voxels as they lay in files."""
    trained_in = getattr(inputs["model"], "orientation", None)
    return inputs["scan"].orientation == trained_in


_STRUCTURES = "06a0c125e9029c7e"
_PREPROCESSED = "cb1c0c514d1b5659"
_SCAN = "ec3aa9478f5ed691"
_READER_MASKS = "68f8585f73b3bf00"
_ORGAN_MASK = "f2155ba8ef63b694"
_STAPLE = "be543ac15b9802a3"
_PHANTOM = "b4b9fbd96e4fd068"
_PHANTOM_ORGANS = "f2db6966e4e430a6"
_RECIPES = {
    "nnunet_preprocessed": _Function("coala_kedro.nnunet.planning.prepare", (), _PREPROCESSED),
    "training": _Function("coala_kedro.nnunet.training.train_fold"),
    "prediction": _Function(
        "coala_kedro.nnunet.inference.predict_scan",
        ("model", "scan", "inference", "compute"),
        _STRUCTURES,
        made_the_same=_scan_lies_as_the_trained,
    ),
    "scan": _Function("coala_kedro.pipelines.preprocessing.intake._import_scan", ("raw",), _SCAN),
    "reader_masks": _Function(
        "coala_kedro.pipelines.preprocessing.intake._import_masks", ("scan", "raw_masks"),
        _READER_MASKS,
    ),
    "consensus_mask": _Function(
        "coala_kedro.pipelines.preprocessing.nodes._consensus_mask", ("masks", "method"), _STAPLE
    ),
    "organ_mask": _Function(
        "coala_kedro.pipelines.preprocessing.nodes._organ_mask",
        ("scan_id", "scan", "organ_segmenter"),
        _ORGAN_MASK,
    ),
    "label_map": _Function(
        "coala_kedro.pipelines.preprocessing.nodes._label_map",
        ("organ_mask", "consensus_mask"),
        _STRUCTURES,
    ),
    "pseudo_label_map": _Function(
        "coala_kedro.pipelines.pseudolabel.nodes._pseudo_label_map",
        ("label_map", "organ_mask"),
        _STRUCTURES,
    ),
    "phantom_scan": _Function(
        "coala_kedro.pipelines.phantom.nodes._scan", ("hospital", "scan_id"), _PHANTOM
    ),
    "phantom_organ_mask": _Function(
        "coala_kedro.pipelines.phantom.nodes._organs", ("hospital", "scan_id"), _PHANTOM_ORGANS
    ),
    "phantom_reader_masks": _Function(
        "coala_kedro.pipelines.phantom.nodes._masks", ("hospital", "scan_id"), _PHANTOM
    ),
}  # fmt: skip
_FIELDS = {
    "Planning": (
        "gpu_memory_target_gb", "base_features", "max_features", "convolutions_per_stage",
        "intensity_samples",
    ),
    "Optimiser": ("name", "initial_learning_rate", "momentum", "weight_decay"),
    "Protocol": (
        "planning", "optimiser", "epochs", "iterations_per_epoch",
        "validation_iterations_per_epoch", "foreground_oversampling", "mirroring",
        "checkpoint_every_epochs", "seed",
    ),
    "Inference": ("tile_step_size", "mirroring"),
}  # fmt: skip
"""Fields of parameters that may have more of them now: others must be as by default."""
_DECIDED_NOTHING = ("checkpoint_every_epochs",)
"""It counted."""


def former_fingerprint(recipe: Any) -> str | None:
    """Fingerprint that version 0.1.0 gave a recipe; None if that version made something else.

    Args:
        recipe: A recipe of this version.
    """
    try:
        return digest(_former(recipe))
    except _NoFormerError:
        return None


def formerly_linked(recipe: Any) -> Path | None:
    """The file that version 0.1.0 linked in place of a recipe's result, where this one writes it.

    Args:
        recipe: A recipe of this version.
    """
    function, inputs = bound_inputs(recipe)
    named = recipe_name(function)
    return inputs["raw"].local_nifti if named and named.name == "scan" else None


def is_former_description(described: Any) -> bool:
    """Whether a description is of version 0.1.0.

    Args:
        described: Stored beside a result.
    """
    if not isinstance(described, list) or not described or not isinstance(described[0], list):
        return False
    return described[0][:1] in [[function.name] for function in _RECIPES.values()]


def former_changes(before: Any, recipe: Any) -> list[str]:
    """Names of what a recipe makes differently from what version 0.1.0 described.

    Args:
        before: A description of version 0.1.0.
        recipe: A recipe of this version.
    """
    try:
        now = _former(recipe)
    except _NoFormerError:
        return ["what this version reads or makes otherwise than 0.1.0"]
    told = changes(before, now)
    return [name for name in told if name.rpartition(".")[2] not in _DECIDED_NOTHING]


def _former(value: Any) -> Any:
    if isinstance(value, str | int | float | bool | None):
        return value
    if hasattr(value, "former_fingerprint"):
        if value.former_fingerprint is None:
            raise _NoFormerError
        return value.former_fingerprint
    if isinstance(getattr(value, "fingerprint", None), str):
        return value.fingerprint
    if callable(value):
        return _former_callable(value)
    if isinstance(value, BaseModel):
        return [type(value).__name__, _former_fields(value)]
    if isinstance(value, Mapping):
        return {str(key): _former(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_former(item) for item in value]
    try:
        return canonical_data(value)
    except TypeError:
        raise _NoFormerError from None


def _former_fields(value: BaseModel) -> dict[str, Any]:
    then = _FIELDS.get(type(value).__name__, tuple(type(value).model_fields))
    told = {}
    for name, field in type(value).model_fields.items():
        given = getattr(value, name)
        if name in then:
            dumped = value.model_dump(mode="json", include={name})[name]
            told[name] = _former_fields(given) if isinstance(given, BaseModel) else dumped
        elif given != field.get_default(call_default_factory=True):
            raise _NoFormerError
    return told


def _former_callable(value: Any) -> Any:
    function, inputs = bound_inputs(value)
    named = recipe_name(function)
    then = _RECIPES.get(named.name) if named else None
    if named is None or then is None:
        raise _NoFormerError
    if named.version != then.version or fingerprint(named.constants) != then.constants:
        raise _NoFormerError
    if not then.made_the_same(inputs):
        raise _NoFormerError
    defaults = {n: p.default for n, p in inspect.signature(function).parameters.items()}
    told = {name: _former(given) for name, given in inputs.items()}
    for name in [n for n in told if defaults[n] is not inspect.Parameter.empty]:
        if told.pop(name) != _former(defaults[name]):
            raise _NoFormerError
    positional = [told.pop(name) for name in then.positional]
    return [[then.name, [], [[], {}]], positional, told]
