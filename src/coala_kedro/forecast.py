"""What a run will train again, and why, before its first node runs.

Nodes return recipes, and a recipe's fingerprint tells whether what it makes stands. So the nodes
before the trainings are called without saving anything, and each folder says what it would do. A
volume that will be made again counts as changed, though it may come out the same.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from coala_kedro.datasets import MadeFolderDataset, VolumeFolderDataset
from coala_kedro.fingerprint import changes, describe

READS_VOLUMES = "reads_volumes"
"""Tag of nodes that read voxels, which takes too long: their last outputs are taken instead."""
_TRAININGS = (".lowres", ".cascade")
_FOLLOW = {"prepared", "earlier", "training_set"}
"""Inputs of a training that change because others do."""
_N_NAMED = 6


@dataclass
class _Trainings:
    """What will become of a model's trainings.

    Attributes:
        reasons: Why each will be trained, by its dataset: None if it stands.
        changed: Scans and settings whose change makes trainings again.
        n_unknown: Trainings of which nothing can be said before earlier steps are done.
    """

    reasons: dict[str, list[str] | None] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    n_unknown: int = 0

    def __str__(self) -> str:
        again = sorted(name for name, why in self.reasons.items() if why)
        counts = {
            "stand": sum(why is None for why in self.reasons.values()),
            "will be trained or finished": sum(why == [] for why in self.reasons.values()),
            "cannot be told of yet": self.n_unknown,
            "will be trained AGAIN": len(again),
        }
        line = f"of {len(self.reasons) + self.n_unknown} trainings "
        line += ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        if again:
            causes = sorted(self.changed - _FOLLOW) or sorted(self.changed)
            more = f" and {len(causes) - _N_NAMED} more" if len(causes) > _N_NAMED else ""
            line += f" ({', '.join(again)}), for these change: {', '.join(causes[:_N_NAMED])}{more}"
        return line


def forecast(pipeline: Pipeline, catalog: DataCatalog) -> list[str]:
    """Say what a run will train; nothing is computed and nothing is saved.

    Args:
        pipeline: The run's.
        catalog: The run's.

    Returns:
        A line for each model that the pipeline trains.
    """
    wanted = [
        name
        for name in pipeline.all_outputs()
        if name.endswith(_TRAININGS) and isinstance(catalog.get(name), MadeFolderDataset)
    ]
    models: dict[str, _Trainings] = defaultdict(_Trainings)
    values: dict[str, Any] = {}
    nodes = pipeline.to_outputs(*wanted).nodes if wanted else []
    logging.disable(logging.ERROR)  # the run will say it
    try:
        for node in nodes:
            try:
                _forecast_node(node, catalog, values, models)
            except Exception:  # whatever a step does not find yet
                for name in set(node.outputs) & set(wanted):
                    models[_model(name)].n_unknown += 1
    finally:
        logging.disable(logging.NOTSET)
    described = {model: t for model, t in models.items() if t.reasons or t.n_unknown}
    return [f"{model}: {described[model]}." for model in sorted(described, reverse=True)]


def _forecast_node(
    node: Node, catalog: DataCatalog, values: dict[str, Any], models: dict[str, _Trainings]
) -> None:
    """Put what the node would leave in the catalog into `values`."""
    if READS_VOLUMES in node.tags:
        values.update({name: catalog.load(name) for name in node.outputs})
        return
    for name in node.inputs:
        if name not in values:
            values[name] = catalog.load(name)
    for name, made in node.run({name: values[name] for name in node.inputs}).items():
        dataset: Any = catalog.get(name)
        if isinstance(dataset, VolumeFolderDataset):
            values[name], _ = dataset.foresee(made)
        elif isinstance(dataset, MadeFolderDataset):
            values[name], why = dataset.foresee(made)
            models[_model(name)].changed.update(why or [])
            if name.endswith(_TRAININGS):
                models[_model(name)].reasons[name] = why
        else:
            values[name] = made
            if name.endswith(".training_set") and dataset.exists():
                models[_model(name)].changed.update(_changed_scans(dataset.load(), made))


def _changed_scans(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences of two training sets: `label map of INT001_pre`, and the like."""
    found = []
    for scan in sorted({*before["cases"], *now["cases"]}):
        one, other = before["cases"].get(scan), now["cases"].get(scan)
        if one is None or other is None:
            found.append(f"{scan} {'comes in' if one is None else 'is left out'}")
            continue
        known = zip(other["content"], other["former_content"], strict=True)
        parts = zip(("scan", "label map"), one["content"], known, strict=True)
        found += [f"{part} of {scan}" for part, earlier, same in parts if earlier not in same]
        changed = changes(describe(one), describe(other))
        found += [f"{key} of {scan}" for key in changed if key in ("patient_id", "source")]
    return found


def _model(name: str) -> str:
    return name.partition(".")[0]
