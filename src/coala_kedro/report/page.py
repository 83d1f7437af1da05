"""One self-contained page of sections, each with words and a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jinja2
import pandas as pd

_DASH = "–"


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: Its heading.
        text: What the table shows, or why there is none.
        table: Shown as it is, a row a row; None for words alone.
    """

    title: str
    text: str
    table: pd.DataFrame | None = None


def render(title: str, sections: list[Section]) -> str:
    """Render a page.

    Args:
        title: Of the page.
        sections: In order.

    Returns:
        HTML. Numbers carry their unrounded value (`<data value=...>`); what is not defined is a
        dash.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("coala_kedro.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(shown=_shown, is_number=_is_number)
    return environment.get_template("page.html.j2").render(title=title, sections=sections)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            return _DASH
        return f"{value:.0f}" if value.is_integer() else f"{value:.3g}"
    return _DASH if value is None or value is pd.NA or value == "" else str(value)
