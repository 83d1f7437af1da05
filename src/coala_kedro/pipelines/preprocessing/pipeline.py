"""Preprocessing of all cohorts, each in its own namespace."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from coala_kedro.pipelines import fixed
from coala_kedro.pipelines.preprocessing.intake import (
    accept_scans,
    import_masks,
    import_scans,
    inspect_scans,
)
from coala_kedro.pipelines.preprocessing.nodes import (
    accept_anatomy,
    compose_label_maps,
    inspect_lesions,
    segment_organs,
)
from coala_kedro.pipelines.preprocessing.reader_consensus import (
    compare_readers,
    estimate_consensus,
    merge_readers,
)
from coala_kedro.statistics.cohort_table import table_1

RAW = ["scan_table", "raw_scans", "raw_reader_masks"]
TRAINED_ON = ("internal.usable_scans", "internal.inspected")
"""Nobody whom the models learn from may be in a cohort that they are only tested on."""


def create_pipeline(cohorts: Iterable[str]) -> Pipeline:
    """From what hospitals bring to scans, consensus masks, organ masks and label maps.

    Args:
        cohorts: Their names; `internal` is the one that models learn from.
    """
    return sum(map(_cohort, cohorts), Pipeline([]))


def _cohort(cohort: str) -> Pipeline:
    trained_on = () if cohort == "internal" else TRAINED_ON
    return Pipeline(
        [*_intake(cohort, trained_on), *_outlines(cohort), *_results()],
        namespace=cohort,
        inputs=set(trained_on),
        parameters={"params:screening", "params:consensus"},
    )


def _intake(cohort: str, trained_on: tuple[str, ...]) -> list[Node]:
    """A hospital's files, measured, judged and brought to one format."""
    return [
        Node(
            func=fixed(inspect_scans, cohort=cohort),
            inputs=[*RAW, "organ_segmenter"],
            outputs="inspected",
            name="inspect_scans",
        ),
        Node(
            func=fixed(accept_scans, cohort=cohort),
            inputs=[*RAW, "inspected", "params:screening", *trained_on],
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


def _outlines(cohort: str) -> list[Node]:
    """Consensus of the readers, and organs; scans in which these lie wrongly are refused."""
    measured = ["usable_scans", "scans", "consensus_masks", "organ_masks"]
    return [
        Node(
            func=estimate_consensus,
            inputs=["usable_scans", "reader_masks", "params:consensus"],
            outputs="consensus_estimates",
            name="estimate_consensus",
        ),
        Node(
            func=merge_readers,
            inputs=["usable_scans", "reader_masks", "consensus_estimates", "params:consensus"],
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
            inputs=[*measured, "organ_segmenter", "params:screening"],
            outputs="anatomy",
            name="inspect_lesions",
            tags="gpu",
        ),
        Node(
            func=fixed(accept_anatomy, cohort=cohort),
            inputs=["usable_scans", "file_findings", "anatomy", "params:screening"],
            outputs=["accepted_scans", "screening"],
            name="accept_anatomy",
        ),
    ]


def _results() -> list[Node]:
    """Agreement of the readers, label maps and Table 1 of the accepted scans."""
    return [
        Node(
            func=compare_readers,
            inputs=["accepted_scans", "consensus_estimates"],
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
            func=table_1,
            inputs="accepted_scans",
            outputs="table_1",
            name="describe_cohort",
        ),
    ]
