"""Pseudo-labelling."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from coala_kedro.models.prediction import predict
from coala_kedro.pipelines import fixed
from coala_kedro.pipelines.pseudolabel.nodes import (
    compose_pseudo_label_maps,
    review_pseudo_labels,
)

TAKEN = {"internal.accepted_scans", "internal.scans", "internal.organ_masks", "teacher.model"}


def create_pipeline() -> Pipeline:
    """From scans that nobody outlined to the teacher's reviewed label maps of them."""
    return Pipeline(
        [
            Node(
                func=fixed(predict, role="unlabelled"),
                inputs=[
                    "internal.accepted_scans",
                    "internal.scans",
                    "teacher.model",
                    "params:inference",
                    "params:compute",
                ],
                outputs="predictions",
                name="predict_unlabelled",
                tags="gpu",
            ),
            Node(
                func=compose_pseudo_label_maps,
                inputs=["predictions", "internal.organ_masks", "params:pseudolabelling"],
                outputs="pseudo_label_maps",
                name="compose_pseudo_label_maps",
            ),
            Node(
                func=review_pseudo_labels,
                inputs=[
                    "predictions",
                    "pseudo_label_maps",
                    "teacher.model",
                    "params:pseudolabelling",
                ],
                outputs="pseudo_label_review",
                name="review_pseudo_labels",
                tags="reads_volumes",
            ),
        ],
        namespace="pseudolabel",
        inputs=TAKEN,
        outputs={"pseudo_label_maps", "pseudo_label_review"},
        parameters={"params:inference", "params:compute", "params:pseudolabelling"},
    )
