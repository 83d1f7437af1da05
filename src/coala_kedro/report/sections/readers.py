"""Readers among themselves, and where the models stand among them."""

from __future__ import annotations

from coala_kedro.report.cells import cohort_title
from coala_kedro.report.material import Material
from coala_kedro.report.page import Fold, Section, Table
from coala_kedro.statistics.rater_metrics import CONSENSUS_OF_OTHERS, READER
from coala_kedro.statistics.rater_summary import ALL_READERS, EACH_OTHER

_FIGURES = {
    "dice_mean": ("Dice, mean", ".2f"),
    "nsd_3mm_mean": ("surface Dice at 3 mm", ".2f"),
    "volume_bias_percent": ("volume bias, %", "+z.1f"),
    "sensitivity": ("lesions found", ".2f"),
    "false_positives_per_scan": ("false positives a scan", ".2f"),
    "icc_agreement": ("ICC, agreement", ".2f"),
}


def readers(material: Material) -> Section:
    """Every rater against the consensus of the other readers, and against single readers."""
    source = material["reader_summary"]
    if source.frame.empty:
        return Section(
            "Readers", ["No test scan was outlined by two readers: they cannot be compared."]
        )
    against_others, against_single = (
        [_raters(material, cohort, kind, caption) for cohort in material.cohorts]
        for kind, caption in (
            (CONSENSUS_OF_OTHERS, "each rater against the consensus of the other readers"),
            (READER, "each rater against single readers, all pairs together"),
        )
    )
    each_other = [
        [
            cohort,
            *(
                source.figure(".2f", metric=metric, cohort=cohort, reference_kind=EACH_OTHER)
                for metric in ("icc_consistency", "icc_agreement")
            ),
        ]
        for cohort in material.cohorts
    ]
    return Section(
        "Readers",
        [
            "The consensus holds every reader's own outline, so a reader agrees with it better "
            "than a stranger can. Here nobody is held against what he drew himself: a reader is "
            "compared with the consensus of the others, and a model with those same consensuses. "
            "A model as far from them as the readers are is as good as one of them.",
            material.plot(
                "readers",
                "Mean Dice of every rater against the consensus of the other readers, with 95 % "
                "intervals by bootstrap over patients.",
            ),
            *against_others,
            Fold("Each rater against single readers", against_single),
            Table(
                "Tumour volume of all readers at once: intraclass correlation.",
                ["cohort", "consistency", "absolute agreement"],
                each_other,
                source.name,
            ),
        ],
    )


def _raters(material: Material, cohort: str, reference_kind: str, caption: str) -> Table:
    source = material["reader_summary"]
    where = {"cohort": cohort, "reference_kind": reference_kind}
    raters = [rater for rater in source.rows(**where)["rater"].unique() if rater != ALL_READERS]
    readers = sorted(rater for rater in raters if rater not in material.models)
    in_order = [*readers, ALL_READERS, *material.models]
    rows = [
        [
            "all readers" if rater == ALL_READERS else rater,
            *(
                source.figure(spec, metric=metric, rater=rater, **where)
                for metric, (_, spec) in _FIGURES.items()
            ),
        ]
        for rater in in_order
        if len(source.rows(rater=rater, **where))
    ]
    headings = ["", *(label for label, _ in _FIGURES.values())]
    return Table(f"{cohort_title(cohort)}: {caption}.", headings, rows, source.name)
