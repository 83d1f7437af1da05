"""Where a model fails most."""

from __future__ import annotations

from coala_kedro.report.cells import cohort_title
from coala_kedro.report.material import Material
from coala_kedro.report.page import Fold, Section, Table
from coala_kedro.report.tables import rows_of

_HEADINGS = {
    "rank": "", "scan_id": "scan", "patient_id": "patient", "dice": "Dice",
    "reference_ml": "consensus, mL", "predicted_ml": "model, mL", "n_lesions": "lesions",
    "what_went_wrong": "what went wrong",
}  # fmt: skip
_SPECS = {"dice": ".2f", "reference_ml": ",.1f", "predicted_ml": ",.1f"}


def failures(material: Material) -> Section:
    """The scans of lowest Dice."""
    *others, last = material.models or [""]
    if material["worst_scans"].frame.empty:
        return Section("Failures", ["No scan has a Dice: none can be called the worst."])
    before = [Fold(f"The worst scans of the {name}", _tables(material, name)) for name in others]
    return Section(
        "Failures",
        [
            f"The test scans in which the {last} does worst. Scans that consensus and model both "
            "leave empty have no Dice and are not ranked.",
            *_tables(material, last),
            material.picture(
                "worst_scans_outlined",
                f"The {last} (red) on the consensus (green) in these scans, on the slice with most "
                "lesion; soft-tissue window, patient's right on the left.",
                "Outlines of model and consensus on the worst scans",
            )
            or "Pictures of patients are left out (drawing.pictures_in_report).",
            *before,
        ],
    )


def _tables(material: Material, model: str) -> list[Table]:
    source = material["worst_scans"]
    return [
        Table(
            f"{cohort_title(cohort)}: the worst scans of the {model}.",
            [*_HEADINGS.values()],
            rows_of(source, source.rows(model=model, cohort=cohort).index, _HEADINGS, _SPECS),
            source.name,
        )
        for cohort in material.cohorts
    ]
