"""A forecast of a run: which trainings stand, which will be made again, and why.

A node returns recipes, and a recipe's fingerprint shows whether what it makes stands. So the nodes
before the trainings can be called without saving anything, and each dataset says what it would do.
A volume that will be made again counts as changed, for nobody knows yet how it comes out.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline

from coala_kedro.datasets import MadeFolderDataset
from coala_kedro.fingerprint import changes, describe

READS_VOLUMES = "reads_volumes"
"""Tag of nodes that read volumes: they take too long, so the outputs of the last run are taken."""
_N_NAMED = 6


@dataclass
class Forecast:
    """What a run will do to trainings.

    Attributes:
        trainings: By dataset, what has changed since it was made: None if it stands, nothing if it
            is only to be begun or finished.
        unknown: Datasets of trainings that depend on earlier steps which are not done yet.
        changed: Scans and settings that have changed, by model.
        faults: By node, why it will fail.
    """

    trainings: dict[str, list[str] | None] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    changed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    faults: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The forecast in words, a line a model."""
        models = sorted({_model(name) for name in [*self.trainings, *self.unknown]}, reverse=True)
        return [self._line(model) for model in models]

    def _line(self, model: str) -> str:
        known = {name: why for name, why in self.trainings.items() if _model(name) == model}
        unknown = [name for name in self.unknown if _model(name) == model]
        again = sorted(name for name, why in known.items() if why)
        counts = {
            "stand": sum(why is None for why in known.values()),
            "will be trained or finished": sum(why == [] for why in known.values()),
            "depend on steps that are not done yet": len(unknown),
            "will be trained AGAIN": len(again),
        }
        line = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        if again:
            consequences = {"prepared", "earlier", "training_set"}
            causes = sorted(self.changed[model] - consequences) or sorted(self.changed[model])
            more = f" and {len(causes) - _N_NAMED} more" if len(causes) > _N_NAMED else ""
            line += f" ({', '.join(again)}), for these change: {', '.join(causes[:_N_NAMED])}{more}"
        return f"{model}: of {len(known) + len(unknown)} trainings {line}."


def forecast(pipeline: Pipeline, catalog: DataCatalog) -> Forecast:
    """Forecast the trainings of a run; nothing is computed and nothing is saved.

    Args:
        pipeline: What is to be run.
        catalog: Its datasets.
    """
    forecaster = _Forecaster(catalog)
    trainings = [name for name in pipeline.all_outputs() if forecaster.is_training(name)]
    logging.disable(logging.ERROR)  # what nodes log, the run will log
    try:
        for node in pipeline.to_outputs(*trainings).nodes if trainings else []:
            forecaster.call(node)
    finally:
        logging.disable(logging.NOTSET)
    return forecaster.forecast


class _NotYetError(Exception):
    """A dataset is not there before the run."""


class _Forecaster:
    """Calls nodes one after another and keeps what they would have made."""

    def __init__(self, catalog: DataCatalog) -> None:
        self.forecast = Forecast()
        self._catalog = catalog
        self._values: dict[str, Any] = {}
        self._to_be_made: set[str] = set()  # datasets whose content will be another
        self._unknown: set[str] = set()

    def is_training(self, name: str) -> bool:
        is_stage = name.endswith((".lowres", ".cascade"))
        return is_stage and isinstance(self._catalog.get(name), MadeFolderDataset)

    def call(self, node: Node) -> None:
        """Call a node; a fault is kept, unless it may come from what an earlier step will make."""
        uncertain = not self._to_be_made.isdisjoint(node.inputs)
        if uncertain:
            self._to_be_made.update(node.outputs)
        try:
            if READS_VOLUMES in node.tags:
                self._values |= {name: self._load(name) for name in node.outputs}
                return
            made = node.run({name: self._input(name) for name in node.inputs})
            self._values |= {name: self._saved(name, value) for name, value in made.items()}
        except Exception as error:
            if not (uncertain or isinstance(error, _NotYetError)):
                self.forecast.faults[node.name] = f"{type(error).__name__}: {error}"
            self._unknown.update(node.outputs)
            self.forecast.unknown += filter(self.is_training, node.outputs)

    def _input(self, name: str) -> Any:
        """What a node will read: what an earlier one will have made, or what is there."""
        if name in self._unknown:
            raise _NotYetError
        if name not in self._values:
            self._values[name] = self._load(name)
        return self._values[name]

    def _load(self, name: str) -> Any:
        try:
            return self._catalog.load(name)
        except DatasetError:
            if self._catalog.exists(name):
                raise
            raise _NotYetError from None

    def _saved(self, name: str, made: Any) -> Any:
        """What a dataset would hold if it saved what a node made."""
        dataset: Any = self._catalog.get(name)
        changed = self.forecast.changed[_model(name)]
        if isinstance(dataset, MadeFolderDataset):
            made, why = dataset.foresee(made)
            if why is not None:
                self._to_be_made.add(name)
            if self.is_training(name):
                self.forecast.trainings[name] = why
            changed.update(why or [])
        elif hasattr(dataset, "foresee"):
            try:
                made, again = dataset.foresee({scan: _as_held(r) for scan, r in made.items()})
            except FileNotFoundError:  # records that are not there yet
                made, again = {scan: {} for scan in made}, [*made]
            if again:
                self._to_be_made.add(name)
        elif name.endswith(".training_set") and dataset.exists():
            changed.update(_changed_scans(dataset.load(), made))
        return made


def _as_held(recipe: Any) -> Any:
    """The recipe of a volume that is only to be written anew: its voxels stay the same."""
    if isinstance(recipe, partial) and recipe.keywords.get("rewritten"):
        return partial(recipe.func, *recipe.args, **{**recipe.keywords, "rewritten": False})
    return recipe


def _changed_scans(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What has changed in a training set, such as `label map of INT001_pre`."""
    changed = []
    for scan in sorted({*before["cases"], *now["cases"]}):
        one, other = before["cases"].get(scan), now["cases"].get(scan)
        if one is None or other is None:
            changed.append(f"{scan} {'comes in' if one is None else 'is left out'}")
            continue
        known = zip(other["content"], other["former_content"], strict=True)
        parts = zip(("scan", "label map"), one["content"], known, strict=True)
        changed += [f"{part} of {scan}" for part, earlier, same in parts if earlier not in same]
        changed += [
            f"{key} of {scan}"
            for key in changes(describe(one), describe(other))
            if key in ("patient_id", "source")
        ]
    return changed


def _model(name: str) -> str:
    return name.split(".", maxsplit=1)[0]
