"""Tables from frames: whole, or models side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coala_kedro.report.cells import Cell, Estimate, Source, words
from coala_kedro.report.page import Table, Words


def whole_table(
    source: Source,
    headings: dict[str, str],
    caption: Words,
    specs: dict[str, str] | None = None,
) -> Table:
    """A frame as it stands, column by column.

    Args:
        source: The frame.
        headings: By column, in the order shown.
        caption: Of the table.
        specs: How columns are shown (`Source.cell`).
    """
    rows = rows_of(source, source.frame.index, headings, specs or {})
    return Table(caption, [*headings.values()], rows, source.name)


def rows_of(
    source: Source, rows: Iterable[Any], columns: Iterable[str], specs: Mapping[str, str]
) -> list[list[Cell]]:
    """Some rows and columns of a frame."""
    return [[source.cell(row, c, specs.get(c, "")) for c in columns] for row in rows]


def by_model(
    source: Source,
    groups: Mapping[str, Mapping[str, str]],
    figures: Mapping[str, tuple[str, str]],
    models: Sequence[str],
    count: tuple[str, str, str],
    caption: Words,
    **where: str,
) -> Table:
    """Figures of groups of scans or lesions, models side by side under each figure.

    Args:
        source: A tidy frame: `model`, `metric`, `value` and its interval.
        groups: By label, the columns that tell the group.
        figures: By metric, its heading and how it is shown.
        models: In order.
        count: Heading, metric and column of how many there are in a group.
        caption: Of the table.
        where: What all rows have in common.
    """
    columns = [(metric, model) for metric in figures for model in models]
    label, counted, column = count

    def figure(metric: str, model: str, spec: str, group: Mapping[str, str]) -> Estimate:
        return source.figure(spec, metric=metric, model=model, **group, **where)

    rows = [
        [
            words(name),
            source.figure(".0f", column, metric=counted, model=models[0], **group, **where).value,
            *(figure(metric, model, figures[metric][1], group) for metric, model in columns),
        ]
        for name, group in groups.items()
    ]
    headings = ((figures[metric][0], model) for metric, model in columns)
    return Table(caption, ["", label, *headings], rows, source.name)
