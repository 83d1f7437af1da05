"""The templates, and the report: one page that needs no network.

Style and pictures are in the page, and its content security policy forbids the browser to ask the
network even if something in it wanted to.
"""

from __future__ import annotations

import base64

import jinja2

from coala_kedro.report.study import Study
from coala_kedro.report.values import cohort_title
from coala_kedro.statistics.metric_list import metrics


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
