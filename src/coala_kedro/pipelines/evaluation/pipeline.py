"""Evaluation: each model on each cohort, then all together."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from coala_kedro.models.prediction import predict
from coala_kedro.pipelines import fixed, kept
from coala_kedro.pipelines.evaluation.nodes import (
    collect_scores,
    compare_with_paper,
    score_raters,
    score_scans,
    summarise,
)
from coala_kedro.pipelines.evaluation.pictures import draw_outlines
from coala_kedro.pipelines.evaluation.report import (
    MADE,
    MODELS,
    PARAMETERS,
    frames_taken,
    report_nodes,
)
from coala_kedro.statistics.agreement import agreement_table
from coala_kedro.statistics.comparisons import compare
from coala_kedro.statistics.free_response import free_response
from coala_kedro.statistics.rater_summary import summarise_raters
from coala_kedro.statistics.subgroups import class_table, summarise_subgroups
from coala_kedro.statistics.worst_scans import worst_scans

METRICS = {
    "scores": "scan_metrics",
    "lesion_scores": "lesion_metrics",
    "organ_scores": "organ_metrics",
    "candidates": "candidate_metrics",
}
"""What is scored of one model and cohort, and the frame of all of them."""
FRAMES = (
    *("summary", "lesion_summary", "table_2", "agreement", "ttv_classes", "free_response"),
    *("reader_metrics", "reader_summary", "tests", "subgroups", "worst_scans"),
    "paper_comparison",
)
"""What is computed from the metrics."""
PICTURES = ("figure_3", "worst_scans_outlined")
TESTED = ("accepted_scans", "scans", "label_maps")
RESAMPLING = ["params:statistics.n_resamples", "params:statistics.seed"]
TTV_BOUNDS = "params:statistics.ttv_bounds_ml"
GROUPS = [TTV_BOUNDS, "params:statistics.slice_bounds_mm", "params:statistics.lesion_bounds"]
N_WORST = "params:statistics.n_worst"


def create_pipeline(cohorts: Sequence[str]) -> Pipeline:
    """From models and test scans to predictions, scores, statistics, tables and figures.

    Args:
        cohorts: Their names; frames, tables and figures have them in this order.
    """
    named = ("accepted_scans", "scans", "label_maps", "reader_masks")
    inputs = {f"{model}.model" for model in MODELS} | {
        f"{cohort}.{name}" for cohort in cohorts for name in named
    }
    parameters = {"inference", "compute", "statistics", "drawing", *PARAMETERS}
    evaluation = Pipeline(
        [
            *(_one_test(model, cohort) for model in MODELS for cohort in cohorts),
            *map(_raters, cohorts),
            *_metrics(cohorts),
            *_statistics(cohorts),
            _outlines(cohorts),
            *report_nodes(cohorts),
        ],
        namespace="evaluation",
        inputs=inputs | frames_taken(cohorts),
        outputs={*METRICS.values(), *FRAMES, *PICTURES, *MADE},
        parameters={f"params:{name}" for name in parameters} | {*RESAMPLING, *GROUPS, N_WORST},
    )
    return kept(evaluation)


def _one_test(model: str, cohort: str) -> Pipeline:
    """One model on one cohort's test scans."""
    return Pipeline(
        [
            Node(
                func=fixed(predict, role="test"),
                inputs=["accepted_scans", "scans", "model", "params:inference", "params:compute"],
                outputs="predictions",
                name="predict_test",
                tags="gpu",
            ),
            Node(
                func=fixed(score_scans, model=model, cohort=cohort),
                inputs=[*TESTED, "predictions", "model"],
                outputs=[*METRICS],
                name="score_scans",
            ),
        ],
        namespace=f"{model}_{cohort}",
        inputs={"model": f"{model}.model"} | {name: f"{cohort}.{name}" for name in TESTED},
        parameters={"params:inference", "params:compute"},
    )


def _raters(cohort: str) -> Node:
    """Readers and models of one cohort side by side."""
    predictions = {model: f"{model}_{cohort}.predictions" for model in MODELS}
    named = {name: f"{cohort}.{name}" for name in ("accepted_scans", "reader_masks")}
    return Node(
        func=fixed(score_raters, cohort=cohort),
        inputs=named | predictions,
        outputs=f"{cohort}_reader_scores",
        name=f"score_raters_{cohort}",
    )


def _metrics(cohorts: Sequence[str]) -> list[Node]:
    """The scores of all models and cohorts in one frame each."""
    tests = [f"{model}_{cohort}" for model in MODELS for cohort in cohorts]
    parts = {scores: [f"{test}.{scores}" for test in tests] for scores in METRICS}
    parts["reader_scores"] = [f"{cohort}_reader_scores" for cohort in cohorts]
    frames = METRICS | {"reader_scores": "reader_metrics"}
    return [
        Node(
            func=collect_scores,
            inputs=parts[scores],
            outputs=frame,
            name=f"collect_{scores}",
        )
        for scores, frame in frames.items()
    ]


def _statistics(cohorts: Sequence[str]) -> list[Node]:
    """What the metrics say."""
    return [
        Node(
            func=summarise,
            inputs=["scan_metrics", "lesion_metrics", "params:statistics"],
            outputs=["summary", "lesion_summary", "table_2"],
            name="summarise",
        ),
        Node(
            func=agreement_table,
            inputs=["scan_metrics", "summary"],
            outputs="agreement",
            name="measure_agreement",
        ),
        Node(
            func=class_table,
            inputs=["scan_metrics", TTV_BOUNDS],
            outputs="ttv_classes",
            name="count_ttv_classes",
        ),
        Node(
            func=free_response,
            inputs=["candidate_metrics", "scan_metrics"],
            outputs="free_response",
            name="compute_free_response",
        ),
        Node(
            func=summarise_raters,
            inputs=["reader_metrics", *RESAMPLING],
            outputs="reader_summary",
            name="summarise_raters",
        ),
        Node(
            func=compare,
            inputs=["scan_metrics", "reader_metrics", *RESAMPLING],
            outputs="tests",
            name="run_statistical_tests",
        ),
        Node(
            func=summarise_subgroups,
            inputs=["scan_metrics", *RESAMPLING, *GROUPS],
            outputs="subgroups",
            name="summarise_subgroups",
        ),
        Node(
            func=worst_scans,
            inputs=["scan_metrics", N_WORST],
            outputs="worst_scans",
            name="list_worst_scans",
        ),
        Node(
            func=compare_with_paper,
            inputs={"summary": "summary"} | {c: f"{c}.accepted_scans" for c in cohorts},
            outputs="paper_comparison",
            name="compare_with_paper",
        ),
    ]


def _outlines(cohorts: Sequence[str]) -> Node:
    """Pictures of test scans with the student's outlines."""
    inputs = {"worst_scans": "worst_scans", "drawing": "params:drawing"}
    for cohort in cohorts:
        inputs |= {f"{name}_{cohort}": f"{cohort}.{name}" for name in ("scans", "label_maps")}
        inputs[f"predictions_{cohort}"] = f"student_{cohort}.predictions"
    return Node(
        func=fixed(draw_outlines, cohorts=cohorts),
        inputs=inputs,
        outputs=[*PICTURES],
        name="draw_outlines",
    )
