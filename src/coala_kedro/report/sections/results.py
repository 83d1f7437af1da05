"""The main results: at a glance, model beside model, the run beside the paper, tests, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from coala_kedro.report.cells import Cell, Estimate, Source, cohort_title, prose, words
from coala_kedro.report.material import Material
from coala_kedro.report.page import Cards, Fold, Section, Table

Row = tuple[str, str, str, str, str]
"""Label, frame, metric, subset, format."""

_RESULTS: tuple[Row, ...] = (
    ("Dice, mean", "summary", "dice_mean", "all", ".2f"),
    ("Dice, median", "summary", "dice_median", "all", ".2f"),
    ("Dice, interquartile range", "summary", "dice_iqr", "all", ".2f"),
    ("Dice, voxels of all scans pooled", "summary", "dice_pooled", "all", ".2f"),
    ("Dice before therapy, mean", "summary", "dice_mean", "pre", ".2f"),
    ("Dice after therapy, mean", "summary", "dice_mean", "post", ".2f"),
    ("Surface Dice at 1 mm, mean", "summary", "nsd_1mm_mean", "all", ".2f"),
    ("Surface Dice at 2 mm, mean", "summary", "nsd_2mm_mean", "all", ".2f"),
    ("Surface Dice at 3 mm, mean", "summary", "nsd_3mm_mean", "all", ".2f"),
    (
        "95th percentile of surface distance (HD95), mm, median",
        "summary",
        "hd95_mm_median",
        "all",
        ".1f",
    ),
    ("Mean surface distance (ASSD), mm, median", "summary", "assd_mm_median", "all", ".1f"),
    ("TTV of the consensus, mL, median", "summary", "ttv_reference_ml_median", "all", ",.1f"),
    ("TTV of the model, mL, median", "summary", "ttv_predicted_ml_median", "all", ",.1f"),
    ("Scans that both leave empty", "summary", "n_both_empty", "all", ".0f"),
    ("Lesions, sensitivity", "lesion_summary", "sensitivity", "all", ".2f"),
    ("Lesions, precision", "lesion_summary", "precision", "all", ".2f"),
    ("Lesions, F1", "lesion_summary", "f1", "all", ".2f"),
    ("Lesions, false positives a scan", "lesion_summary", "false_positives_per_scan", "all", ".2f"),
)
_GLANCE: tuple[Row, ...] = (
    ("mean Dice", "summary", "dice_mean", "all", ".2f"),
    ("ICC of tumour volume", "summary", "icc_consistency", "all", ".2f"),
    ("volume bias, %", "summary", "volume_bias_percent", "all", "+z.1f"),
    ("of lesions found", "lesion_summary", "sensitivity", "all", ".0%"),
    ("false positives a scan", "lesion_summary", "false_positives_per_scan", "all", ".2f"),
)
_AGREEMENT: tuple[Row, ...] = (
    ("ICC, consistency (the paper's)", "summary", "icc_consistency", "all", ".3f"),
    ("ICC, absolute agreement", "summary", "icc_agreement", "all", ".3f"),
    ("Bias, mL", "summary", "volume_bias_ml", "all", "+z.1f"),
    ("Lower limit of agreement, mL", "summary", "volume_limit_lower_ml", "all", "+z.1f"),
    ("Upper limit of agreement, mL", "summary", "volume_limit_upper_ml", "all", "+z.1f"),
    ("Bias of all volume together, %", "summary", "volume_bias_percent", "all", "+z.1f"),
    (
        "Mean difference, % of the mean of both",
        "summary",
        "volume_difference_percent",
        "all",
        "+z.1f",
    ),
    ("Lower limit of agreement, %", "summary", "volume_limit_lower_percent", "all", "+z.1f"),
    ("Upper limit of agreement, %", "summary", "volume_limit_upper_percent", "all", "+z.1f"),
    ("Proportional bias, mL per mL", "summary", "volume_slope", "all", "+z.3f"),
    ("Scans in the same class of TTV, share", "summary", "ttv_class_agreement", "all", ".2f"),
    ("Classes of TTV, weighted kappa", "summary", "ttv_class_kappa", "all", ".2f"),
)
_METRICS = {
    "dice": ("Dice", ".3f"),
    "nsd_3mm": ("Surface Dice at 3 mm", ".3f"),
    "volume_error_ml": ("Volume error, mL", ".1f"),
    "absolute_volume_error_ml": ("Absolute volume error, mL", ".1f"),
}


def glance(material: Material) -> Section:
    """The last model's main figures on every cohort."""
    items: list[Any] = []
    for cohort in material.cohorts:
        model = material.models[-1]
        n_scans, n_patients = (
            material["summary"].figure(
                value=count, metric="n_both_empty", subset="all", model=model, cohort=cohort
            )
            for count in ("n_scans", "n_patients")
        )
        about = "<b>{}</b>, {}: {} scans of {} patients."
        items += [
            prose(about, cohort_title(cohort), model, n_scans, n_patients),
            Cards([_card(material, cohort, row) for row in _GLANCE]),
        ]
    if not items:
        items = ["No scan was tested: the study has no results yet."]
    return Section("At a glance", items)


def _card(material: Material, cohort: str, row: Row) -> tuple[Cell, Markup]:
    """The last model's figure; its interval, the other models' and the paper's below."""
    label, frame, metric, subset, spec = row
    *others, last = material.models
    where = {"metric": metric, "subset": subset, "cohort": cohort}
    figure, *before = (material[frame].figure(spec, model=m, **where) for m in (last, *others))
    lines = [prose("{}", label)]
    if figure.low and figure.high and figure.low.defined and figure.high.defined:
        lines.append(prose("95 % CI {} to {}", figure.low, figure.high))
    lines += [prose("{} {}", name, f.value) for name, f in zip(others, before, strict=True)]
    source = material["paper_comparison"]
    lines += [
        prose("paper {}", source.cell(line, "paper", spec))
        for line in source.rows(model=last, **where).index
    ]
    return figure.value, Markup("<br>").join(lines)


def results(material: Material) -> Section:
    """Teacher beside student on every cohort."""
    table = _side_by_side(
        material,
        _RESULTS,
        "Results of every model on every cohort, with 95 % intervals by bootstrap over patients. "
        "TTV is total tumour volume. Scans that consensus and model both leave empty have no Dice "
        "and are counted apart; where one of both is empty, Dice is 0.",
    )
    return Section(
        "Results",
        [
            table,
            material.plot(
                "dice",
                "Dice of every test scan before and after systemic therapy. Boxes span the "
                "quartiles, whiskers reach 1.5 times as far; a dot is a scan.",
            ),
        ],
    )


def agreement(material: Material) -> Section:
    """Total tumour volume of model and consensus."""
    return Section(
        "Agreement of tumour volume",
        [
            "A correlation near 1 does not say that volumes are right: a model that finds a tenth "
            "less everywhere has it too. So bias and limits of agreement stand beside it.",
            _side_by_side(
                material,
                _AGREEMENT,
                "Agreement of total tumour volume (TTV) between model and consensus, with 95 % "
                "intervals by bootstrap over patients. Proportional bias is the slope of the "
                "difference on the mean: negative where large volumes are drawn too small. "
                "Textbook intervals (F, Student's t) are in agreement.csv.",
            ),
            *_classes(material),
            material.plot(
                "volumes",
                "Total tumour volume of every test scan; the broken line is perfect agreement.",
            ),
            material.plot(
                "bland_altman",
                "Bland-Altman plot in mL: bias (full line) and limits of agreement (broken lines), "
                "which 95 % of differences are expected to lie between.",
            ),
            material.plot(
                "bland_altman_percent",
                "Bland-Altman plot in per cent of the mean of both, which small and large tumour "
                "loads can share. Scans that both leave empty are not shown.",
            ),
        ],
        short="Agreement",
    )


def _classes(material: Material) -> list[Table]:
    """Classes of tumour volume, consensus down and the last model across."""
    source = material["ttv_classes"]
    tables = []
    for cohort in material.cohorts:
        where = {"cohort": cohort, "model": material.models[-1]}
        names = list(source.rows(**where)["reference_class"].unique())
        rows = [
            [
                words(reference),
                *(
                    source.figure(
                        value="n_scans", reference_class=reference, predicted_class=name, **where
                    )
                    for name in names
                ),
            ]
            for reference in names
        ]
        caption = (
            f"{cohort_title(cohort)}: scans by class of tumour volume, consensus down and "
            f"{material.models[-1]} across."
        )
        tables.append(Table(caption, ["", *map(words, names)], rows, source.name))
    return tables


def _side_by_side(material: Material, rows: Sequence[Row], caption: str) -> Table:
    """Figures of every model, side by side under their cohorts."""
    columns = [(cohort, model) for cohort in material.cohorts for model in material.models]

    def line(row: Row) -> list[Any]:
        label, frame, metric, subset, spec = row
        where = {"metric": metric, "subset": subset}
        return [label] + [
            material[frame].figure(spec, model=model, cohort=cohort, **where)
            for cohort, model in columns
        ]

    return Table(
        caption,
        ["", *((cohort_title(cohort), model) for cohort, model in columns)],
        [line(row) for row in rows],
        ", ".join(f"{frame}.csv" for frame in dict.fromkeys(row[1] for row in rows)),
    )


def tests(material: Material) -> Section:
    """Every test, the paper's among them."""
    source = material["tests"]
    main, *others = (_comparisons(source, metric) for metric in _METRICS)
    return Section(
        "Tests",
        [
            "The paper compares scans before and after therapy by Welch's test, which takes every "
            "scan as another patient. Beside it stand tests that respect repeated scans: a mixed "
            "model with a random intercept for each patient, and paired tests of patients. p "
            "values are not corrected for their number: read them as descriptions.",
            main,
            Fold("The same tests of other figures", others),
        ],
    )


def _comparisons(source: Source, metric: str) -> Table:
    label, spec = _METRICS[metric]
    rows: list[list[Any]] = [
        [
            source.cell(row, "comparison"),
            source.cell(row, "cohort"),
            source.cell(row, "test"),
            Estimate(*(source.cell(row, c, f"+z{spec}") for c in _ESTIMATE)),
            source.cell(row, "effect_size", "+z.2f"),
            source.cell(row, "p", "p"),
            source.cell(row, "n_patients"),
        ]
        for row in source.rows(metric=metric).index
    ]
    headings = [
        "compared", "cohort", "test", "difference", "effect size", "p", "patients",
    ]  # fmt: skip
    return Table(f"{label}: differences with 95 % intervals.", headings, rows, source.name)


_ESTIMATE = ("estimate", "ci_low", "ci_high")
