"""The list of metrics: the label and format of each, and where it is shown.

A metric is one line of `metric_list.csv`. Its columns: `metric`, the name in the frames; `subset`
of the scans; `label`; `format`, one of Python's, or `p` for a p-value; `frame`, where its value
stands; and `places`, the tables that show it, in the order of the list: those of the report, and
`table_2`. MLflow takes every metric of a frame by its name in the frame.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import pandas as pd


class Metric(NamedTuple):
    """A line of `metric_list.csv`."""

    metric: str
    subset: str
    label: str
    format: str
    frame: str
    places: str


@cache
def all_metrics() -> tuple[Metric, ...]:
    """Every line of the list."""
    with (resources.files("coala_kedro.statistics") / "metric_list.csv").open(
        encoding="utf-8"
    ) as file:
        listed = pd.read_csv(file, keep_default_na=False, dtype=str)
    return tuple(Metric(*row) for row in listed.itertuples(index=False))


def metrics(place: str) -> list[Metric]:
    """The metrics that a table shows.

    Args:
        place: A word of the column `places`, such as `results`.
    """
    return [metric for metric in all_metrics() if place in metric.places.split()]


@cache
def format_of(metric: str) -> str:
    """How values of a metric are written; empty for what the list does not have.

    Args:
        metric: Its name in the frames.
    """
    return next((listed.format for listed in all_metrics() if listed.metric == metric), "")
