"""How the models were trained."""

from __future__ import annotations

from coala_kedro.report.cells import prose
from coala_kedro.report.material import Material
from coala_kedro.report.page import Section
from coala_kedro.report.tables import whole_table

_REVIEW = {
    "scan_id": "scan", "n_lesions": "lesions", "crlm_ml": "CRLM, mL",
    "fold_agreement": "agreement of the folds (Dice)", "reason": "used",
}  # fmt: skip


def training(material: Material) -> Section:
    """Validation of the folds, pseudo-labels."""
    review = material["pseudo_label_review"]
    return Section(
        "Training",
        [
            material.plot(
                "cross_validation",
                "Dice of CRLM on the validation scans of every fold and stage. The student's folds "
                "are validated on pseudo-labels too, which its teacher drew: its Dice here is no "
                "measure of progress.",
            ),
            whole_table(review, _REVIEW, "The teacher's pseudo-labels.",
                        {"crlm_ml": ",.1f", "fold_agreement": ".2f"})
            if len(review.frame)
            else prose("No scan was pseudo-labelled."),
        ],
    )  # fmt: skip
