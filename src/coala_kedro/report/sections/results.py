"""The main results: at a glance, model beside model, the run beside the paper, tests, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from coala_kedro.report.cells import Cell, Estimate, Source, prose
from coala_kedro.report.material import Material
from coala_kedro.report.page import Cards, Section, Table

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
    "nsd_3mm": ("surface Dice at 3 mm", ".3f"),
    "volume_error_ml": ("volume error, mL", ".1f"),
    "absolute_volume_error_ml": ("absolute volume error, mL", ".1f"),
}


def glance(material: Material) -> Section:
    """The last model's main figures on every cohort."""
    summary, lesions = material["summary"], material["lesion_summary"]
    model = material.models[-1]
    items: list[Any] = []
    for cohort in material.cohorts:
        where = {"model": model, "cohort": cohort, "subset": "all"}

        def of(source: Source, metric: str, spec: str, where: dict = where) -> Estimate:
            return source.figure(spec, metric=metric, **where)

        dice = of(summary, "dice_mean", ".2f")
        items.append(
            prose(
                "<b>{} cohort</b>, {}: {} scans of {} patients.",
                cohort.capitalize(),
                model,
                summary.figure(value="n_scans", metric="icc_consistency", **where),
                summary.figure(value="n_patients", metric="icc_consistency", **where),
            )
        )
        items.append(
            Cards(
                [
                    (dice.value, _with_interval("mean Dice", dice)),
                    _card("ICC of tumour volume", of(summary, "icc_consistency", ".2f")),
                    _card("% bias of tumour volume", of(summary, "volume_bias_percent", "+z.1f")),
                    _card("of lesions found", of(lesions, "sensitivity", ".0%")),
                    _card("false positives a scan", of(lesions, "false_positives_per_scan", ".2f")),
                ]
            )
        )
    if not items:
        items = ["No scan was tested: the study has no results yet."]
    return Section("At a glance", items)


def _card(label: str, figure: Estimate) -> tuple[Cell, Markup]:
    return figure.value, _with_interval(label, figure)


def _with_interval(label: str, figure: Estimate) -> Markup:
    if figure.low is None or figure.high is None or not figure.low.defined:
        return prose("{}", label)
    return prose("{}<br>95 % interval {} to {}", label, figure.low, figure.high)


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
                "difference on the mean: negative where large volumes are drawn too small.",
            ),
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
        ["", *((f"{cohort.capitalize()} cohort", model) for cohort, model in columns)],
        [line(row) for row in rows],
        ", ".join(f"{frame}.csv" for frame in dict.fromkeys(row[1] for row in rows)),
    )


def tests(material: Material) -> Section:
    """Every test, the paper's among them."""
    source = material["tests"]
    rows = []
    for row in source.frame.to_dict("index").items():
        number, told = row
        label, spec = _METRICS.get(told["metric"], (told["metric"], ".3g"))
        rows.append(
            [
                source.cell(number, "comparison"),
                source.cell(number, "cohort"),
                label,
                source.cell(number, "test"),
                Estimate(*(source.cell(number, c, "+z" + spec) for c in _ESTIMATE)),
                source.cell(number, "effect_size", "+z.2f"),
                source.cell(number, "p", "p"),
                source.cell(number, "n_patients"),
            ]
        )
    headings = [
        "compared", "cohort", "figure", "test", "difference (95 % interval)", "effect size", "p",
        "patients",
    ]  # fmt: skip
    return Section(
        "Tests",
        [
            "The paper compares scans before and after therapy by Welch's test, which takes every "
            "scan as another patient. Beside it stand tests that respect repeated scans: a mixed "
            "model with a random intercept for each patient, and paired tests of patients. p "
            "values are not corrected for their number: read them as descriptions.",
            Table("Differences, after minus before, and later minus earlier model.", headings,
                  rows, source.name),
        ],
    )  # fmt: skip


_ESTIMATE = ("estimate", "ci_low", "ci_high")
