"""Preprocessing of both cohorts, each in its own namespace."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from coala_kedro.cohort import COHORTS
from coala_kedro.pipelines.preprocessing.nodes import (
    compare_readers,
    compose_label_maps,
    describe_cohort,
    merge_readers,
    screen_scans,
    segment_organs,
)

SHARED_PARAMETERS = {"params:screening": "params:screening", "params:consensus": "params:consensus"}


def create_pipeline() -> Pipeline:
    """Scans and readers' masks to consensus masks, organ masks and label maps."""
    one_cohort = Pipeline(
        [
            Node(
                func=screen_scans,
                inputs=["scan_table", "scans", "reader_masks", "params:cohort", "params:screening"],
                outputs="accepted_scans",
                name="screen_scans",
            ),
            Node(
                func=merge_readers,
                inputs=["accepted_scans", "reader_masks", "params:consensus"],
                outputs="consensus_masks",
                name="merge_readers",
            ),
            Node(
                func=compare_readers,
                inputs=["accepted_scans", "reader_masks", "params:consensus"],
                outputs=["reader_agreement", "consensus_quality", "lesion_agreement"],
                name="compare_readers",
            ),
            Node(
                func=segment_organs,
                inputs=["accepted_scans", "scans", "organ_segmenter"],
                outputs="organ_masks",
                name="segment_organs",
                tags="gpu",
            ),
            Node(
                func=compose_label_maps,
                inputs=["consensus_masks", "organ_masks"],
                outputs="label_maps",
                name="compose_label_maps",
            ),
            Node(
                func=describe_cohort,
                inputs="accepted_scans",
                outputs="table_1",
                name="describe_cohort",
            ),
        ]
    )
    return sum(
        (Pipeline(one_cohort, namespace=name, parameters=SHARED_PARAMETERS) for name in COHORTS),
        Pipeline([]),
    )
