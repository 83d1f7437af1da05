"""Lesion by lesion, structure by structure, subgroup by subgroup."""

from __future__ import annotations

from coala_kedro.report.cells import Source
from coala_kedro.report.material import Material
from coala_kedro.report.page import Section, Table

_FIGURES = {
    "sensitivity": ("Sensitivity", ".2f"),
    "precision": ("Precision", ".2f"),
    "false_positives_per_scan": ("False positives a scan", ".2f"),
}


def lesions(material: Material) -> Section:
    """Detection by size, place and contrast."""
    source = material["lesion_summary"]
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
            *(_detection(source, cohort, material.models) for cohort in material.cohorts),
        ],
    )


def _detection(source: Source, cohort: str, models: list[str]) -> Table:
    subsets = source.rows(cohort=cohort)["subset"].unique()
    columns = [(metric, model) for metric in _FIGURES for model in models]
    rows = [
        [
            subset,
            source.figure(
                ".0f", metric="n_lesions", subset=subset, cohort=cohort, model=models[0]
            ).value,
            *(
                source.figure(
                    _FIGURES[metric][1], metric=metric, subset=subset, cohort=cohort, model=model
                )
                for metric, model in columns
            ),
        ]
        for subset in subsets
    ]
    return Table(
        f"{cohort.capitalize()} cohort: detection of lesions, with 95 % intervals.",
        ["", "lesions", *((_FIGURES[metric][0], model) for metric, model in columns)],
        rows,
        source.name,
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
