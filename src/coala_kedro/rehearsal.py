"""What a run will train again, and why, told before its first node.

Nodes return recipes, and a recipe's fingerprint tells whether its thing stands. So a run can be
rehearsed: the nodes before the trainings are called, nothing is saved, and each folder says what
it would do. A volume that will be made again counts as changed, though it may come out the same.
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
"""Tag of nodes that look into volumes, which takes too long: their last outputs stand for them."""
_N_NAMED = 6


@dataclass
class Foreseen:
    """What will become of the trainings, by namespace.

    Attributes:
        trainings: Dataset of each training, and why it will be made: None if it stands.
        changed: Scans and settings whose change makes trainings again.
        unknown: Trainings of which nothing can be told before earlier steps are done.
    """

    trainings: dict[str, dict[str, list[str] | None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    changed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unknown: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def rehearse(pipeline: Pipeline, catalog: DataCatalog) -> Foreseen:
    """Foresee a run's trainings; nothing is computed and nothing is saved."""
    wanted = [name for name in pipeline.all_outputs() if _is_training(catalog, name)]
    foreseen = Foreseen()
    if not wanted:
        return foreseen
    values: dict[str, Any] = {}
    logging.disable(logging.ERROR)  # the run will say it
    try:
        for node in pipeline.to_outputs(*wanted).nodes:
            try:
                _rehearse_node(node, catalog, values, foreseen)
            except Exception:  # whatever a step does not find yet
                for name in set(node.outputs) & set(wanted):
                    foreseen.unknown[_model(name)].append(name)
    finally:
        logging.disable(logging.NOTSET)
    return foreseen


def _rehearse_node(
    node: Node, catalog: DataCatalog, values: dict[str, Any], foreseen: Foreseen
) -> None:
    if READS_VOLUMES in node.tags:
        values.update({name: catalog.load(name) for name in node.outputs})
        return
    inputs = {name: _value(name, catalog, values) for name in node.inputs}
    for name, made in node.run(inputs).items():
        dataset: Any = catalog.get(name)
        if isinstance(dataset, VolumeFolderDataset):
            values[name], _ = dataset.foresee(made)
        elif isinstance(dataset, MadeFolderDataset):
            values[name], why = dataset.foresee(made)
            if _is_training(catalog, name):
                foreseen.trainings[_model(name)][name] = why
            foreseen.changed[_model(name)].update(why or [])
        else:
            values[name] = made
            if name.endswith(".training_set") and dataset.exists():
                scans = _changed_scans(dataset.load(), made)
                foreseen.changed[_model(name)].update(scans)


def _value(name: str, catalog: DataCatalog, values: dict[str, Any]) -> Any:
    """What a node will read: what an earlier one will have made, or what is there."""
    if name not in values:
        values[name] = catalog.load(name)
    return values[name]


def _changed_scans(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`label map of INT001_pre`, and the like."""
    told = []
    for scan in sorted({*before["cases"], *now["cases"]}):
        one, other = before["cases"].get(scan), now["cases"].get(scan)
        if one is None or other is None:
            told.append(f"{scan} {'comes in' if one is None else 'is left out'}")
            continue
        known = zip(other["content"], other["former_content"], strict=True)
        parts = zip(("scan", "label map"), one["content"], known, strict=True)
        told += [f"{part} of {scan}" for part, earlier, same in parts if earlier not in same]
        told += [
            f"{key} of {scan}"
            for key in changes(describe(one), describe(other))
            if key in ("patient_id", "source")
        ]
    return told


def _is_training(catalog: DataCatalog, name: str) -> bool:
    return name.endswith((".lowres", ".cascade")) and isinstance(
        catalog.get(name), MadeFolderDataset
    )


def _model(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def tell(foreseen: Foreseen) -> list[str]:
    """Foreseen in words, a line a model."""
    lines = []
    for model in sorted({*foreseen.trainings, *foreseen.unknown}, reverse=True):
        known = foreseen.trainings[model]
        again = sorted(name for name, why in known.items() if why)
        counts = {
            "stand": sum(why is None for why in known.values()),
            "will be trained or finished": sum(why == [] for why in known.values()),
            "cannot be told of yet": len(foreseen.unknown[model]),
            "will be trained AGAIN": len(again),
        }
        line = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        if again:
            own = {"prepared", "earlier", "training_set"}  # follow from the others
            causes = sorted(foreseen.changed[model] - own) or sorted(foreseen.changed[model])
            more = f" and {len(causes) - _N_NAMED} more" if len(causes) > _N_NAMED else ""
            line += f" ({', '.join(again)}), for these change: {', '.join(causes[:_N_NAMED])}{more}"
        lines.append(f"{model}: of {len(known) + len(foreseen.unknown[model])} trainings {line}.")
    return lines
