"""The report: one page that needs no network, of a study's frames and figures.

Style and pictures are in the page, and its content security policy forbids the browser to ask the
network even if something in it wanted to.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from coala_kedro.report import plots
from coala_kedro.report.values import Frame, Table, Value, cohort_title
from coala_kedro.statistics.metric_list import metrics
from coala_kedro.statistics.paper import DATA
from coala_kedro.statistics.rater_summary import ALL_READERS, EACH_OTHER

Where = Mapping[str, str]
"""Arguments of `Frame.number` that choose a row."""


def report_page(study: Study) -> str:
    """The study's report.

    Args:
        study: Its frames, figures and pictures.

    Returns:
        HTML of one page; every number is a `<data>` element (see `values`).
    """
    return environment().get_template("report.html.j2").render(study=study)


def environment(html: bool = True) -> jinja2.Environment:
    """The templates of the report; a name that is not defined is an error.

    Args:
        html: Whether they are HTML, in which values are escaped.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("coala_kedro.report", ""),
        autoescape=html,
        keep_trailing_newline=not html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"cohort_title": cohort_title, "base64": _in_base64}
    made.globals["metrics"] = metrics
    return made


def _in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Study:
    """The frames, figures and pictures of a study, by their names in the catalog.

    Args:
        frames: The contents of `<name>.csv`.
        figures: SVG, as `plots.svg` writes it.
        pictures: PNG.
    """

    def __init__(
        self,
        frames: Mapping[str, pd.DataFrame],
        figures: Mapping[str, str],
        pictures: Mapping[str, bytes],
    ) -> None:
        self._frames = {
            name: Frame(f"{name}.csv", frame.reset_index(drop=True))
            for name, frame in frames.items()
        }
        self.figures, self.pictures = figures, pictures
        tested = frames["scan_metrics"]
        self.models = list(tested["model"].unique())
        self.cohorts = list(tested["cohort"].unique())
        tables = (name for name in frames if name.endswith("_table_1"))
        self.all_cohorts = [name.removesuffix("_table_1") for name in tables]

    def __getitem__(self, name: str) -> Frame:
        return self._frames[name]

    def setting(self, name: str) -> Value:
        """A parameter, or the version of a package.

        Args:
            name: As `settings.csv` has it.
        """
        return self["settings"].number(setting=name)

    def svg(self, name: str) -> Markup:
        """A figure as SVG; empty if it has nothing to show.

        Args:
            name: Of the figure.
        """
        return Markup("" if self.why_empty(name) else self.figures[name])

    def why_empty(self, name: str) -> Markup:
        """Why a figure has nothing to show; empty if it has something.

        Args:
            name: Of the figure.
        """
        return Markup(plots.reason(self.figures[name]))

    def side_by_side(self, place: str) -> Table:
        """Metrics of every model, side by side under their cohorts.

        Args:
            place: As in `metrics.metrics`.
        """
        listed = metrics(place)
        columns = {
            (cohort_title(cohort), model): {"cohort": cohort, "model": model}
            for cohort in self.cohorts
            for model in self.models
        }
        rows: list[list[Any]] = []
        for metric in listed:
            where = {"metric": metric.metric, "subset": metric.subset}
            numbers = (self[metric.frame].number(**where, **c) for c in columns.values())
            rows.append([metric.label, *numbers])
        sources = dict.fromkeys(f"{metric.frame}.csv" for metric in listed)
        return Table(["", *columns], rows, ", ".join(sources))

    def by_group(
        self, name: str, keys: Sequence[str], place: str, count: tuple[str, Where], cohort: str
    ) -> Table:
        """Metrics of groups of scans or lesions, models side by side under each metric.

        Args:
            name: The frame.
            keys: Columns that name a group.
            place: As in `metrics.metrics`.
            count: The heading of the size of a group, and what chooses its row.
            cohort: The cohort of the groups.
        """
        groups = self[name].rows(cohort=cohort)[[*keys]].drop_duplicates()
        rows = {
            ": ".join(group): dict(zip(keys, group, strict=True))
            for group in groups.itertuples(index=False, name=None)
        }
        heading, where = count
        columns: dict[Any, Where] = {heading: {**where, "model": self.models[0]}}
        for metric in metrics(place):
            for model in self.models:
                columns[metric.label, model] = {"metric": metric.metric, "model": model}
        return _crossed(self[name], rows, columns, cohort=cohort)

    def raters(self, cohort: str, reference_kind: str) -> Table:
        """Readers, all of them together, and models, each against a kind of reference.

        Args:
            cohort: The cohort of the scans.
            reference_kind: As in `reader_summary.csv`.
        """
        source, where = self["reader_summary"], {"cohort": cohort, "reference_kind": reference_kind}
        known = list(source.rows(**where)["rater"].unique())
        readers = sorted({*known} - {ALL_READERS, *self.models})
        rows = {
            "all readers" if rater == ALL_READERS else rater: {"rater": rater}
            for rater in (*readers, ALL_READERS, *self.models)
            if rater in known
        }
        columns = {metric.label: {"metric": metric.metric} for metric in metrics("readers")}
        return _crossed(source, rows, columns, **where)

    def readers_icc(self) -> Table:
        """The readers' intraclass correlation on tumour volume."""
        columns = {
            "consistency": {"metric": "icc_consistency"},
            "absolute agreement": {"metric": "icc_agreement"},
        }
        rows = {cohort_title(cohort): {"cohort": cohort} for cohort in self.cohorts}
        return _crossed(self["reader_summary"], rows, columns, reference_kind=EACH_OTHER)

    def ttv_classes(self, cohort: str) -> Table:
        """Scans by class of tumour volume, consensus down and the last model across.

        Args:
            cohort: The cohort of the scans.
        """
        source, where = self["ttv_classes"], {"cohort": cohort, "model": self.models[-1]}
        names = source.rows(**where)["reference_class"].unique()
        rows = {name: {"reference_class": name} for name in names}
        columns = {name: {"predicted_class": name, "column": "n_scans"} for name in names}
        return _crossed(source, rows, columns, **where)

    def flow(self, labels: Mapping[str, str]) -> Table:
        """What became of the scans of every cohort.

        Args:
            labels: By step; other steps are reasons of the step before.
        """
        source = self["cohort_flow"]
        rows = {
            labels.get(step, Markup("&emsp;") + step): {"step": step}
            for step in source.frame["step"].unique()
        }
        columns = {
            (cohort_title(cohort), unit): {"cohort": cohort, "column": f"n_{unit}"}
            for cohort in self.all_cohorts
            for unit in ("scans", "patients")
        }
        return _crossed(source, rows, columns, absent="–")

    def patients(self) -> Table:
        """Table 1 of the cohorts side by side."""
        tables = [self[f"{cohort}_table_1"] for cohort in self.all_cohorts]
        rows = [
            [name, *(table.value(row, "value") for table in tables)]
            for row, name in tables[0].frame["characteristic"].items()
        ]
        names = ["characteristic", *map(cohort_title, self.all_cohorts)]
        return Table(names, rows, ", ".join(table.name for table in tables))

    def paper(self, of_scans: bool) -> Table:
        """The paper's figures beside the run's.

        Args:
            of_scans: Those that describe scans and patients instead of results.
        """
        source = self["paper_comparison"]
        chosen = source.frame[(source.frame["model"] == DATA) == of_scans]
        models = [DATA] if of_scans else self.models
        rows = {}
        keys = ["figure", "unit", "metric"]
        listed = chosen.fillna({"unit": ""}).drop_duplicates(["figure", "metric"])[keys]
        for figure, unit, metric in listed.itertuples(index=False, name=None):
            named = unit and unit not in figure.lower()
            rows[f"{figure}, {unit}" if named else figure] = {"figure": figure, "metric": metric}
        columns = {}
        for cohort in chosen["cohort"].unique():
            title, where = cohort_title(cohort), {"cohort": cohort}
            given = {"column": "paper", "absent": "not given", "model": models[0]}
            columns[title, "paper"] = where | given
            for model in models:
                compared = {"column": "run", "absent": "not compared", "model": model}
                columns[title, "run" if of_scans else model] = where | compared
        return _crossed(source, rows, columns)


def _crossed(
    frame: Frame, rows: Mapping[str, Where], columns: Mapping[Any, Where], **where: str
) -> Table:
    """A table of numbers: by label, what chooses the row of the frame for each line and column."""
    lines = [
        [_words(label), *(frame.number(**row, **column, **where) for column in columns.values())]
        for label, row in rows.items()
    ]
    return Table(["", *map(_words, columns)], lines, frame.name)


def _words(label: Any) -> Any:
    """A label with its signs as people write them."""
    return label.replace(">=", "≥") if isinstance(label, str) else label
