"""The synthetic hospitals, one per cohort."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from coala_kedro.cohort import COHORTS
from coala_kedro.pipelines.phantom.nodes import admit_patients, scan_patients


def create_pipeline() -> Pipeline:
    """Scan table, scans, organ masks and readers' masks of both cohorts."""
    hospital = Pipeline(
        [
            Node(
                func=admit_patients,
                inputs="params:hospital",
                outputs="scan_table",
                name="admit_patients",
            ),
            Node(
                func=scan_patients,
                inputs=["scan_table", "params:hospital"],
                outputs=["raw_scans", "existing_organ_masks", "raw_reader_masks"],
                name="scan_patients",
            ),
        ]
    )
    return sum(
        (
            Pipeline(
                hospital,
                namespace=f"{cohort}.hospital",
                outputs={
                    name: f"{cohort}.{name}"
                    for name in (
                        *("scan_table", "raw_scans"),
                        *("existing_organ_masks", "raw_reader_masks"),
                    )
                },
                parameters={"params:hospital": f"params:phantom.{cohort}"},
            )
            for cohort in COHORTS
        ),
        Pipeline([]),
    )
