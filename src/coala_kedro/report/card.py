"""A card for a trained model, in the manner of Mitchell et al. 2019 (10.1145/3287560.3287596)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from coala_kedro.report.page import environment


def model_card(
    name: str,
    *,
    orientation: str,
    cases: pd.DataFrame,
    protocol: Mapping[str, Any],
    software: Mapping[str, str],
    cost: pd.DataFrame,
    cross_validation: pd.DataFrame,
) -> str:
    """Write the card.

    Args:
        name: `teacher` or `student`.
        orientation: That of the scans it was trained on, such as LPS.
        cases: What it was trained on, a row a scan: `patient_id`, `source` (manual, pseudo).
        protocol: How, by name; may be nested.
        software: Versions, by name.
        cost: A row a training: `stage, device, epochs_trained, attempts, hours`.
        cross_validation: A row a stage, fold, scan and structure: `stage, structure, dice`.

    Returns:
        Markdown.
    """
    by_source = cases.groupby("source")["patient_id"].agg(["size", "nunique"])
    dice = cross_validation.pivot_table(
        index="structure", columns="stage", values="dice", aggfunc="mean", sort=False
    )
    return (
        environment(html=False)
        .get_template("card.md.j2")
        .render(
            name=name,
            orientation=orientation,
            n_scans=len(cases),
            n_patients=cases["patient_id"].nunique(),
            sources=by_source.itertuples(),
            protocol=pd.json_normalize(dict(protocol)).iloc[0].to_dict(),
            software=software,
            cost=_cost(cost),
            dice=dice.reindex(columns=["lowres", "cascade"]).itertuples(),
        )
    )


def _cost(cost: pd.DataFrame) -> list[dict[str, Any]]:
    """Sums by stage and device, and of all."""
    summed = ["epochs_trained", "attempts", "hours"]
    stages = cost.groupby(["stage", "device"], sort=False)[summed].sum().reset_index()
    total = pd.DataFrame([{"stage": "all", "device": "", **cost[summed].sum()}])
    rows = pd.concat([stages, total]).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
