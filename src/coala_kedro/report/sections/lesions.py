"""Lesion by lesion, structure by structure, subgroup by subgroup."""

from __future__ import annotations

from coala_kedro.report.cells import cohort_title
from coala_kedro.report.material import Material
from coala_kedro.report.page import Section
from coala_kedro.report.tables import by_model

_DETECTION = {
    "sensitivity": ("Sensitivity", ".2f"),
    "precision": ("Precision", ".2f"),
    "false_positives_per_scan": ("False positives a scan", ".2f"),
}
_SUBGROUP = {
    "dice_mean": ("Dice, mean", ".2f"),
    "sensitivity": ("Lesions found", ".2f"),
    "volume_bias_percent": ("Volume bias, %", "+z.1f"),
}


def lesions(material: Material) -> Section:
    """Detection by size, place and contrast."""
    source = material["lesion_summary"]
    tables = [
        by_model(
            source,
            {name: {"subset": name} for name in source.rows(cohort=cohort)["subset"].unique()},
            _DETECTION,
            material.models,
            ("lesions", "n_lesions", "value"),
            f"{cohort_title(cohort)}: detection of lesions, with 95 % intervals.",
            cohort=cohort,
        )
        for cohort in material.cohorts
    ]
    return Section(
        "Lesions",
        [
            "Lesions of consensus and model are matched one to one. Size is the longest axial "
            "diameter; near the border is within 10 mm of the liver's surface; contrast is the "
            "difference to the liver around, in HU.",
            material.plot(
                "lesions",
                "Share of the consensus' lesions that each model finds, with 95 % intervals by "
                "bootstrap over patients; a subset without a lesion is left empty.",
            ),
            *tables,
            material.plot(
                "free_response",
                "Free-response curve: what a model finds and invents as fewer of its folds have to "
                "see a lesion. Point at the curve for the share of folds.",
            ),
        ],
    )


def structures(material: Material) -> Section:
    """Dice of the thirteen structures."""
    return Section(
        "Structures",
        [
            "The models draw twelve organs too, so that they know what is no lesion. Their "
            "reference is the organ segmenter, not a radiologist.",
            material.plot(
                "structures",
                "Dice of every structure over the test scans that have it: median and quartiles. "
                "Every scan's is in organ_metrics.csv.",
            ),
        ],
    )


def subgroups(material: Material) -> Section:
    """By scanner, slice thickness, tumour load and number of lesions."""
    source = material["subgroups"]
    tables = []
    for cohort in material.cohorts:
        pairs = source.rows(cohort=cohort)[["grouping", "group"]].drop_duplicates()
        groups = {
            f"{grouping}: {group}": {"grouping": grouping, "group": group}
            for grouping, group in pairs.itertuples(index=False)
        }
        caption = f"{cohort_title(cohort)}: groups of scans, with 95 % intervals."
        tables.append(
            by_model(source, groups, _SUBGROUP, material.models,
                     ("scans", "volume_bias_ml", "n_scans"), caption, cohort=cohort)
        )  # fmt: skip
    return Section(
        "Subgroups",
        [
            "Few scans stand behind each group: look for what falls far apart, not for small "
            "differences.",
            material.plot("subgroups", "Mean Dice of groups of scans, with 95 % intervals."),
            *tables,
        ],
    )
