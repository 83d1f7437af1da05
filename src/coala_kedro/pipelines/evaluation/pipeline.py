"""Evaluation: each model on each cohort, then together."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from coala_kedro.cohort import COHORTS
from coala_kedro.pipelines.evaluation.nodes import (
    collect_scores,
    draw_outlines,
    draw_statistics,
    predict_test,
    score_scans,
    summarise,
)
from coala_kedro.pipelines.evaluation.report import write_report

MODELS = ("teacher", "student")
METRICS = {
    "scores": "scan_metrics",
    "lesion_scores": "lesion_metrics",
    "organ_scores": "organ_metrics",
}
"""What a test writes of one model and cohort, and the frame of all of them."""
REPORTED = ("scan_table", "screening", "table_1")
"""What the report shows of a cohort beside its results."""


def create_pipeline() -> Pipeline:
    """Predictions, scores, summary, tables and figures."""
    inputs = {f"{model}.model" for model in MODELS} | {
        f"{cohort}.{name}"
        for cohort in COHORTS
        for name in ("accepted_scans", "scans", "label_maps", *REPORTED)
    }
    tests = [_one_test(model, cohort) for model in MODELS for cohort in COHORTS]
    return Pipeline(
        [*tests, _report()],
        namespace="evaluation",
        inputs=inputs,
        outputs={
            *METRICS.values(),
            *("summary", "lesion_summary", "table_2", "report"),
            *("figure_3", "bland_altman", "dice_by_timepoint"),
        },
        parameters={
            *("params:inference", "params:compute", "params:statistics", "params:drawing"),
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
                    "params:model_name",
                    "params:cohort_name",
                ],
                outputs=["scores", "lesion_scores", "organ_scores"],
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


def _report() -> Pipeline:
    """All tests together: frames, tables, figures."""
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
                func=summarise,
                inputs=["scan_metrics", "lesion_metrics", "params:statistics"],
                outputs=["summary", "lesion_summary", "table_2"],
                name="summarise",
            ),
            Node(
                func=draw_statistics,
                inputs="scan_metrics",
                outputs=["bland_altman", "dice_by_timepoint"],
                name="draw_statistics",
            ),
            Node(
                func=draw_outlines,
                inputs=[
                    *(f"{cohort}.scans" for cohort in COHORTS),
                    *(f"{cohort}.label_maps" for cohort in COHORTS),
                    *(f"student_{cohort}.predictions" for cohort in COHORTS),
                    "params:drawing",
                ],
                outputs="figure_3",
                name="draw_outlines",
            ),
            Node(
                func=write_report,
                inputs={name: name for name in ("table_2", "lesion_summary", "organ_metrics")}
                | {
                    f"{cohort}_{name}": f"{cohort}.{name}"
                    for cohort in COHORTS
                    for name in ("accepted_scans", *REPORTED)
                },
                outputs="report",
                name="write_report",
            ),
        ]
    )
