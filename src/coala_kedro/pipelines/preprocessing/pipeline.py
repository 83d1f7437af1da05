"""Preprocessing of both cohorts, each in its own namespace."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from coala_kedro.pipelines.preprocessing.intake import (
    accept_scans,
    import_masks,
    import_scans,
    inspect_scans,
)
from coala_kedro.pipelines.preprocessing.nodes import (
    accept_anatomy,
    compare_readers,
    compose_label_maps,
    describe_cohort,
    inspect_lesions,
    merge_readers,
    segment_organs,
)

SHARED_PARAMETERS = {"params:screening": "params:screening", "params:consensus": "params:consensus"}

_RAW = ["scan_table", "raw_scans", "raw_reader_masks"]

# Nobody whom the models learn from may be in the cohort that they are tested on.
_TRAINED_ON = {"trained_on": "internal.usable_scans", "trained_on_facts": "internal.inspected"}


def create_pipeline() -> Pipeline:
    """What hospitals bring to scans, consensus masks, organ masks and label maps."""
    return Pipeline(
        _intake() + _outlines() + _results(), namespace="internal", parameters=SHARED_PARAMETERS
    ) + Pipeline(
        _intake(*_TRAINED_ON) + _outlines() + _results(),
        namespace="external",
        parameters=SHARED_PARAMETERS,
        inputs=_TRAINED_ON,
    )


def _intake(*trained_on: str) -> Pipeline:
    """A hospital's files, measured, judged and brought to one format."""
    return Pipeline(
        [
            Node(
                func=inspect_scans,
                inputs=[*_RAW, "organ_segmenter", "params:cohort"],
                outputs="inspected",
                name="inspect_scans",
            ),
            Node(
                func=accept_scans,
                inputs=[*_RAW, "inspected", "params:cohort", "params:screening", *trained_on],
                outputs=["usable_scans", "file_findings"],
                name="accept_scans",
            ),
            Node(
                func=import_scans,
                inputs=["usable_scans", "raw_scans"],
                outputs="scans",
                name="import_scans",
            ),
            Node(
                func=import_masks,
                inputs=["usable_scans", "scans", "raw_reader_masks"],
                outputs="reader_masks",
                name="import_masks",
            ),
        ]
    )


def _outlines() -> Pipeline:
    """Readers' masks to a consensus, organs beside it; what lies where it cannot is left out."""
    return Pipeline(
        [
            Node(
                func=merge_readers,
                inputs=["usable_scans", "reader_masks", "params:consensus"],
                outputs="consensus_masks",
                name="merge_readers",
            ),
            Node(
                func=segment_organs,
                inputs=["usable_scans", "scans", "organ_segmenter"],
                outputs="organ_masks",
                name="segment_organs",
                tags="gpu",
            ),
            Node(
                func=inspect_lesions,
                inputs=[
                    "usable_scans",
                    "scans",
                    "consensus_masks",
                    "organ_masks",
                    "organ_segmenter",
                    "params:screening",
                ],
                outputs="anatomy",
                name="inspect_lesions",
                tags="gpu",
            ),
            Node(
                func=accept_anatomy,
                inputs=[
                    "usable_scans",
                    "file_findings",
                    "anatomy",
                    "params:cohort",
                    "params:screening",
                ],
                outputs=["accepted_scans", "screening"],
                name="accept_anatomy",
            ),
        ]
    )


def _results() -> Pipeline:
    """What the accepted scans are used as."""
    return Pipeline(
        [
            Node(
                func=compare_readers,
                inputs=["accepted_scans", "reader_masks", "params:consensus"],
                outputs=["reader_agreement", "consensus_quality", "lesion_agreement"],
                name="compare_readers",
            ),
            Node(
                func=compose_label_maps,
                inputs=["accepted_scans", "consensus_masks", "organ_masks"],
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
