"""Evaluation: each model on each cohort, then together."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from coala_kedro.cohort import COHORTS
from coala_kedro.pipelines.evaluation.nodes import (
    compare_raters,
    judge_agreement,
    look_closer,
    recall_paper,
    summarise,
)
from coala_kedro.pipelines.evaluation.pictures import draw_outlines
from coala_kedro.pipelines.evaluation.report import MADE, MODELS, PARAMETERS, TAKEN, report_nodes
from coala_kedro.pipelines.evaluation.scoring import (
    collect_scores,
    predict_test,
    score_raters,
    score_scans,
)
from coala_kedro.statistics.free_response import free_response

METRICS = {
    "scores": "scan_metrics",
    "lesion_scores": "lesion_metrics",
    "organ_scores": "organ_metrics",
    "candidates": "candidate_metrics",
}
"""What a test writes of one model and cohort, and the frame of all of them."""
FRAMES = (
    *("summary", "lesion_summary", "table_2", "agreement", "ttv_classes", "free_response"),
    *("reader_metrics", "reader_summary", "tests", "subgroups", "worst_scans"),
    "paper_comparison",
)
"""What is made of the metrics."""
PICTURES = ("figure_3", "worst_scans_outlined")


def create_pipeline() -> Pipeline:
    """Predictions, scores, summary, tables and figures."""
    inputs = {f"{model}.model" for model in MODELS} | {
        f"{cohort}.{name}"
        for cohort in COHORTS
        for name in ("accepted_scans", "scans", "label_maps", "reader_masks")
    }
    tests = [_one_test(model, cohort) for model in MODELS for cohort in COHORTS]
    return Pipeline(
        [*tests, *map(_raters, COHORTS), _figures(), _report()],
        namespace="evaluation",
        inputs=inputs | TAKEN,
        outputs={*METRICS.values(), *FRAMES, *PICTURES, *MADE},
        parameters={
            *("params:inference", "params:compute", "params:statistics", "params:drawing"),
            *(f"params:{name}" for name in PARAMETERS),
            *(f"params:names.{name}" for name in (*MODELS, *COHORTS)),
        },
    )


def _one_test(model: str, cohort: str) -> Pipeline:
    """One model on one cohort's test scans."""
    return Pipeline(
        [
            Node(
                func=predict_test,
                inputs=["accepted_scans", "scans", "model", "params:inference", "params:compute"],
                outputs="predictions",
                name="predict_test",
                tags="gpu",
            ),
            Node(
                func=score_scans,
                inputs=[
                    "accepted_scans",
                    "scans",
                    "label_maps",
                    "predictions",
                    "model",
                    "params:model_name",
                    "params:cohort_name",
                ],
                outputs=[*METRICS],
                name="score_scans",
            ),
        ],
        namespace=f"{model}_{cohort}",
        inputs={
            "model": f"{model}.model",
            "accepted_scans": f"{cohort}.accepted_scans",
            "scans": f"{cohort}.scans",
            "label_maps": f"{cohort}.label_maps",
        },
        parameters={
            "params:inference": "params:inference",
            "params:compute": "params:compute",
            "params:model_name": f"params:names.{model}",
            "params:cohort_name": f"params:names.{cohort}",
        },
    )


def _raters(cohort: str) -> Pipeline:
    """Readers and models of one cohort side by side."""
    predictions = {model: f"{model}_{cohort}.predictions" for model in MODELS}
    named = {name: f"{cohort}.{name}" for name in ("accepted_scans", "reader_masks")}
    return Pipeline(
        [
            Node(
                func=score_raters,
                inputs={**named, **predictions, "cohort": f"params:names.{cohort}"},
                outputs=f"{cohort}_reader_scores",
                name=f"score_raters_{cohort}",
            )
        ]
    )


def _figures() -> Pipeline:
    """All tests together: frames of metrics, and what they say."""
    return Pipeline(
        [
            *(
                Node(
                    func=collect_scores,
                    inputs=[f"{model}_{cohort}.{scores}" for model in MODELS for cohort in COHORTS],
                    outputs=metrics,
                    name=f"collect_{scores}",
                )
                for scores, metrics in METRICS.items()
            ),
            Node(
                func=collect_scores,
                inputs=[f"{cohort}_reader_scores" for cohort in COHORTS],
                outputs="reader_metrics",
                name="collect_reader_scores",
            ),
            Node(
                func=summarise,
                inputs=["scan_metrics", "lesion_metrics", "params:statistics"],
                outputs=["summary", "lesion_summary", "table_2"],
                name="summarise",
            ),
            Node(
                func=judge_agreement,
                inputs=["scan_metrics", "summary", "params:statistics"],
                outputs=["agreement", "ttv_classes"],
                name="judge_agreement",
            ),
            Node(
                func=free_response,
                inputs=["candidate_metrics", "scan_metrics"],
                outputs="free_response",
                name="free_response",
            ),
            Node(
                func=compare_raters,
                inputs=["scan_metrics", "reader_metrics", "params:statistics"],
                outputs=["reader_summary", "tests"],
                name="compare_raters",
            ),
            Node(
                func=look_closer,
                inputs=["scan_metrics", "params:statistics"],
                outputs=["subgroups", "worst_scans"],
                name="look_closer",
            ),
            Node(
                func=recall_paper,
                inputs={"summary": "summary"}
                | {cohort: f"{cohort}.accepted_scans" for cohort in COHORTS},
                outputs="paper_comparison",
                name="recall_paper",
            ),
        ]
    )


def _report() -> Pipeline:
    """What people look at."""
    return Pipeline(
        [
            Node(
                func=draw_outlines,
                inputs=[
                    *(f"{cohort}.scans" for cohort in COHORTS),
                    *(f"{cohort}.label_maps" for cohort in COHORTS),
                    *(f"student_{cohort}.predictions" for cohort in COHORTS),
                    *("worst_scans", "params:drawing"),
                ],
                outputs=[*PICTURES],
                name="draw_outlines",
            ),
            *report_nodes(),
        ]
    )
