"""Who came in, who was left out, who the patients are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import Markup

from coala_kedro.cohort import COHORTS
from coala_kedro.report.cells import Cell, Source, cohort_title, prose
from coala_kedro.report.material import Material
from coala_kedro.report.page import Flow, Flows, Fold, Item, Section, Table
from coala_kedro.report.tables import rows_of

_STEPS = {
    "came in": "in the scan table",
    "refused": "refused by screening",
    "used": "used",
    "manual": "outlined, for training",
    "unlabelled": "not outlined",
    "pseudo-labelled": "pseudo-labels accepted for training",
    "test": "outlined, for testing",
    "tested": "tested",
}
_FINDINGS = {
    "scan_id": "scan", "code": "finding", "subject": "of",
    "measured": "measured", "limit": "limit", "remedy": "remedy",
}  # fmt: skip


def flow(material: Material) -> Section:
    """How many scans came in, were refused, trained on, pseudo-labelled and tested."""
    source = material["cohort_flow"]
    columns = [(cohort, unit) for cohort in COHORTS for unit in ("scans", "patients")]
    names = list(dict.fromkeys(source.frame["step"]))
    rows = [
        [
            _STEPS.get(step, Markup("&emsp;") + step),
            *(_count(source, cohort, step, f"n_{unit}") for cohort, unit in columns),
        ]
        for step in names
    ]
    return Section(
        "The scans: from the hospital to the test",
        [
            Flows([_diagram(source, cohort) for cohort in COHORTS]),
            Table(
                "What became of the scans. A scan refused for two reasons counts under both.",
                ["", *((cohort_title(cohort), unit) for cohort, unit in columns)],
                rows,
                source.name,
            ),
        ],
        short="The scans",
    )


def _count(source: Source, cohort: str, step: str, column: str = "n_scans") -> Cell:
    rows = source.rows(cohort=cohort, step=step).index
    return source.cell(rows[0], column) if len(rows) else Cell(None, "", "–")


def _diagram(source: Source, cohort: str) -> Flow:
    def scans(step: str) -> Cell:
        return _count(source, cohort, step)

    reasons = source.frame[
        (source.frame["cohort"] == cohort) & source.frame["step"].str.startswith("refused: ")
    ]
    why = Markup("<br>").join(
        prose(
            "{} {}", source.cell(row, "n_scans"), step.removeprefix("refused: ").replace("_", " ")
        )
        for row, step in zip(reasons.index, reasons["step"], strict=True)
    )
    left = prose("{} refused by screening", scans("refused")) + (
        Markup("<br>") + why if len(reasons) else ""
    )
    return Flow(
        cohort_title(cohort),
        [
            (
                prose(
                    "<b>{}</b> scans of {} patients came in",
                    scans("came in"),
                    _count(source, cohort, "came in", "n_patients"),
                ),
                "",
            ),
            (prose("<b>{}</b> scans used", scans("used")), left),
        ],
        [*_ends(scans, cohort)],
    )


def _ends(scans: Callable[[str], Cell], cohort: str) -> Iterator[Markup]:
    if cohort == COHORTS[0]:
        yield prose("<b>{}</b> outlined, train teacher and student", scans("manual"))
        yield prose(
            "<b>{}</b> not outlined; <b>{}</b> pseudo-labelled, train the student",
            scans("unlabelled"),
            scans("pseudo-labelled"),
        )
    yield prose("<b>{}</b> outlined and tested", scans("tested"))


def patients(material: Material) -> Section:
    """Table 1 of the cohorts side by side."""
    tables = [material[f"{cohort}_table_1"] for cohort in COHORTS]
    rows = [
        [source_row, *(table.cell(row, "value") for table in tables)]
        for row, source_row in tables[0].frame["characteristic"].items()
    ]
    caption = (
        "The cohorts as in the paper's Table 1. A patient counts once, with the values of the "
        "earliest scan that records them."
    )
    names = ["characteristic", *(cohort_title(cohort) for cohort in COHORTS)]
    source = ", ".join(table.name for table in tables)
    return Section("Patients", [Table(caption, names, rows, source)])


def screening(material: Material) -> Section:
    """Every scan that was refused or warned of."""
    items: list[Item] = [
        "Every scan and mask is measured and held against limits before the study uses it. What is "
        "refused is left out; a warning keeps its scan in."
    ]
    for cohort in COHORTS:
        source = material[f"{cohort}_screening"]
        if source.frame.empty:
            items.append(f"{cohort_title(cohort)}: no scan was refused or warned of.")
        for severity, caption in (("refuse", "refused"), ("warn", "warned of, but used")):
            rows = rows_of(source, source.rows(severity=severity).index, _FINDINGS, {})
            table = Table(
                f"{cohort_title(cohort)}: {caption}.", [*_FINDINGS.values()], rows, source.name
            )
            if rows:
                items.append(table if severity == "refuse" else Fold(table.caption, [table]))
    return Section("Screening", items)
