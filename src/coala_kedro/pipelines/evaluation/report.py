"""The study's report: figures, settings and one page of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

import pandas as pd
from kedro.pipeline import Node
from pydantic import BaseModel

from coala_kedro.cohort import N_FOLDS
from coala_kedro.pipelines import EVERY_RUN, fixed
from coala_kedro.pipelines.evaluation.pictures import Drawing
from coala_kedro.report import figures, group_figures, training_figures
from coala_kedro.report.claim import claim_table
from coala_kedro.report.page import Study, report_page
from coala_kedro.report.plots import Figure
from coala_kedro.report.run_settings import settings_table
from coala_kedro.statistics.cohort_table import cohort_flow

MODELS = ("teacher", "student")


def _of_models(frame: str) -> tuple[str, ...]:
    return tuple(f"{model}.{frame}" for model in MODELS)


def _of_cohorts(cohorts: Iterable[str], *frames: str) -> tuple[str, ...]:
    return tuple(f"{cohort}.{frame}" for cohort in cohorts for frame in frames)


PARAMETERS = (
    "consensus", "screening", "protocol", "inference", "pseudolabelling", "statistics", "drawing",
)  # fmt: skip
"""Those that decide results."""
FRAMES = (
    "summary", "lesion_summary", "scan_metrics", "pseudo_label_review",
    "cohort_flow", "settings", "claim_checklist", "ttv_classes", "free_response",
    "reader_summary", "tests", "subgroups", "worst_scans", "paper_comparison",
    *_of_models("training_cost"),
)  # fmt: skip
"""What the report shows, beside table 1 and screening of each cohort."""
FIGURES: dict[str, tuple[Callable[..., Figure], tuple[str, ...]]] = {
    "bland_altman": (figures.bland_altman, ("scan_metrics", "summary")),
    "bland_altman_percent": (figures.bland_altman_percent, ("scan_metrics", "summary")),
    "volumes": (figures.volumes, ("scan_metrics",)),
    "dice": (figures.dice, ("scan_metrics",)),
    "lesions": (group_figures.lesions, ("lesion_summary",)),
    "free_response": (group_figures.free_response, ("free_response",)),
    "readers": (group_figures.readers, ("reader_summary",)),
    "subgroups": (group_figures.subgroups, ("subgroups",)),
    "structures": (group_figures.structures, ("organ_metrics",)),
    "cross_validation": (training_figures.cross_validation, _of_models("cross_validation")),
    "training_dice": (training_figures.training_dice, _of_models("training_curves")),
    "training_loss_lowres": (training_figures.training_loss_lowres, _of_models("training_curves")),
    "training_loss_cascade": (
        training_figures.training_loss_cascade,
        _of_models("training_curves"),
    ),
}
"""Each figure's function, and the frames it draws."""
_CAME_IN = ("scan_table", "accepted_scans", "screening")
MADE = {"cohort_flow", "settings", "claim_checklist", "report"}
"""What it makes, but for the figures, which stay inside."""


def frames_shown(cohorts: Iterable[str]) -> tuple[str, ...]:
    """What the report shows; `<cohort>.<frame>` is in `<cohort>_<frame>.csv`.

    Args:
        cohorts: Of the study.
    """
    return *FRAMES, *_of_cohorts(cohorts, "table_1", "screening")


def frames_taken(cohorts: Iterable[str]) -> set[str]:
    """What the report takes from other pipelines.

    Args:
        cohorts: Of the study.
    """
    of_models = ("cross_validation", "training_curves", "training_cost")
    return {
        "pseudo_label_review",
        *_of_cohorts(cohorts, *_CAME_IN, "table_1"),
        *(frame for name in of_models for frame in _of_models(name)),
    }


def describe_run(cohorts: Sequence[str], **parameters: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Settings and versions, and the CLAIM checklist answered from them.

    Args:
        cohorts: Of the study.
        **parameters: Those that decide results.
    """
    plain = {
        name: p.model_dump() if isinstance(p, BaseModel) else p for name, p in parameters.items()
    }
    settings = settings_table({"folds": N_FOLDS, **plain}, date.today())
    return settings, claim_table(settings, cohorts)


def count_scans(
    pseudo_label_review: pd.DataFrame, scan_metrics: pd.DataFrame, **cohorts: pd.DataFrame
) -> pd.DataFrame:
    """What became of every cohort's scans.

    Args:
        pseudo_label_review: As catalogued.
        scan_metrics: As catalogued.
        cohorts: `<cohort>_scan_table`, `_accepted_scans` and `_screening` of each cohort.
    """
    accepted = pseudo_label_review["accepted"].astype(bool)
    tables = (name for name in cohorts if name.endswith("_scan_table"))
    names = [name.removesuffix("_scan_table") for name in tables]
    parts = [
        cohort_flow(
            cohorts[f"{cohort}_scan_table"],
            cohorts[f"{cohort}_accepted_scans"],
            cohorts[f"{cohort}_screening"],
            scored=scan_metrics.loc[scan_metrics["cohort"] == cohort, "scan_id"],
            pseudo_labelled=pseudo_label_review.loc[accepted, "scan_id"],
        ).assign(cohort=cohort)
        for cohort in names
    ]
    flow = pd.concat(parts, ignore_index=True)
    return flow[["cohort", "step", "n_scans", "n_patients"]]


def write_report(drawing: Drawing, **parts: pd.DataFrame | str | bytes) -> str:
    """Write the report.

    Args:
        drawing: Whether pictures of patients may be in it.
        parts: Frames by their names, `<cohort>_<frame>` those of a cohort; figures, as SVG, by
            `<name>_figure`; pictures.

    Returns:
        HTML of one page.
    """
    frames = {name: part for name, part in parts.items() if isinstance(part, pd.DataFrame)}
    drawn = {
        name.removesuffix("_figure"): part for name, part in parts.items() if isinstance(part, str)
    }
    pictures = {name: part for name, part in parts.items() if isinstance(part, bytes)}
    return report_page(Study(frames, drawn, pictures if drawing.pictures_in_report else {}))


def report_nodes(cohorts: Sequence[str]) -> list[Node]:
    """Figures, settings, and the page of all of them.

    Args:
        cohorts: Of the study.
    """
    return [
        *(
            Node(func=draw, inputs=[*frames], outputs=f"{name}_figure", name=f"draw_{name}")
            for name, (draw, frames) in FIGURES.items()
        ),
        Node(
            func=fixed(describe_run, cohorts=cohorts),
            inputs={name: f"params:{name}" for name in PARAMETERS},
            outputs=["settings", "claim_checklist"],
            name="describe_run",
            tags=EVERY_RUN,
        ),
        Node(
            func=count_scans,
            inputs=_named("pseudo_label_review", "scan_metrics", *_of_cohorts(cohorts, *_CAME_IN)),
            outputs="cohort_flow",
            name="count_scans",
        ),
        Node(
            func=write_report,
            inputs=_named(*frames_shown(cohorts))
            | _named(*(f"{name}_figure" for name in FIGURES), "worst_scans_outlined")
            | {"drawing": "params:drawing"},
            outputs="report",
            name="write_report",
        ),
    ]


def _named(*datasets: str) -> dict[str, str]:
    """Arguments for datasets: their names without dots."""
    return {dataset.replace(".", "_"): dataset for dataset in datasets}
