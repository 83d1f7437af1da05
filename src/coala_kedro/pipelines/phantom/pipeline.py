"""The synthetic hospitals, one per cohort."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from coala_kedro.pipelines.phantom.nodes import admit_patients, scan_patients

RAW = ("scan_table", "raw_scans", "existing_organ_masks", "raw_reader_masks")


def create_pipeline(cohorts: Iterable[str]) -> Pipeline:
    """Scan table, scans, organ masks and readers' masks of all cohorts.

    Args:
        cohorts: Their names; each has its hospital in the parameters `phantom`.
    """
    return sum(map(_hospital, cohorts), Pipeline([]))


def _hospital(cohort: str) -> Pipeline:
    return Pipeline(
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
        ],
        namespace=f"{cohort}.hospital",
        outputs={name: f"{cohort}.{name}" for name in RAW},
        parameters={"params:hospital": f"params:phantom.{cohort}"},
    )
