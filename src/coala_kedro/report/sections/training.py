"""How the models were trained."""

from __future__ import annotations

from coala_kedro.report.material import Material
from coala_kedro.report.page import Section, Table
from coala_kedro.report.tables import rows_of

_REVIEW = {
    "scan_id": "scan", "n_lesions": "lesions", "crlm_ml": "CRLM, mL",
    "fold_agreement": "agreement of the folds (Dice)", "reason": "used",
}  # fmt: skip
_SPECS = {"crlm_ml": ",.1f", "fold_agreement": ".2f"}
_SHOWN = 10


def training(material: Material) -> Section:
    """Validation of the folds, and the most doubtful pseudo-labels."""
    return Section(
        "Training",
        [
            material.plot(
                "cross_validation",
                "Dice of CRLM on the validation scans of every fold and stage. The student's folds "
                "are validated on pseudo-labels too, which its teacher drew: its Dice here is no "
                "measure of progress.",
            ),
            _pseudo_labels(material),
        ],
    )


def _pseudo_labels(material: Material) -> Table | str:
    review = material["pseudo_label_review"]
    if review.frame.empty:
        return "No scan was pseudo-labelled."
    doubtful = review.frame.sort_values("fold_agreement", kind="stable", na_position="first")
    return Table(
        "The pseudo-labels on which the folds agree least; those that no fold draws come first.",
        [*_REVIEW.values()],
        rows_of(review, doubtful.index[:_SHOWN], _REVIEW, _SPECS),
        review.name,
    )
