"""How the models were trained."""

from __future__ import annotations

from collections.abc import Iterator

from coala_kedro.report.material import Material
from coala_kedro.report.page import Fold, Section, Table
from coala_kedro.report.tables import rows_of, whole_table

_COST = {
    "stage": "stage", "fold": "fold", "device": "device", "epochs": "epochs",
    "epochs_trained": "epochs trained", "attempts": "attempts", "hours": "hours",
}  # fmt: skip
_REVIEW = {
    "scan_id": "scan", "n_lesions": "lesions", "crlm_ml": "CRLM, mL",
    "fold_agreement": "agreement of the folds (Dice)", "reason": "used",
}  # fmt: skip
_SPECS = {"crlm_ml": ",.1f", "fold_agreement": ".2f"}
_SHOWN = 10


def training(material: Material) -> Section:
    """Curves, validation of the folds, cost, and the most doubtful pseudo-labels."""
    return Section(
        "Training",
        [
            material.plot(
                "training_dice",
                "Dice of CRLM on validation patches, epoch by epoch: a colour per fold, the "
                "cascade full, the low resolution dotted.",
            ),
            Fold("Losses", [
                material.plot(f"training_loss_{stage}",
                              f"Loss of the {words}: validation full, training dotted.")
                for stage, words in (("lowres", "low resolution"), ("cascade", "cascade"))
            ]),
            material.plot(
                "cross_validation",
                "Dice of CRLM on the validation scans of every fold and stage. The student's folds "
                "are validated on pseudo-labels too, which its teacher drew: its Dice here is no "
                "measure of progress.",
            ),
            *_costs(material),
            _pseudo_labels(material),
        ],
    )  # fmt: skip


def _costs(material: Material) -> Iterator[Fold | str]:
    for model in ("teacher", "student"):
        source = material[f"{model}_training_cost"]
        if source.frame.empty:
            yield f"No record was kept of the trainings of the {model}."
        else:
            caption = f"Trainings of the {model}, over all attempts."
            yield Fold(
                f"What the {model} cost", [whole_table(source, _COST, caption, {"hours": ".3g"})]
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
