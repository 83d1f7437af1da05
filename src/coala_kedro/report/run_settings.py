"""The settings of a run: parameters, seeds and versions, a row each."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from typing import Any

import pandas as pd

PACKAGES = (
    "coala_kedro", "nnunetv2", "torch", "TotalSegmentator", "SimpleITK", "numpy", "scipy",
    "pandas", "connected-components-3d", "kedro", "mlflow",
)  # fmt: skip
"""Packages whose versions decide results, or tell how they came about."""


def settings_table(parameters: Mapping[str, Any], today: date) -> pd.DataFrame:
    """Every parameter by its dotted name, and the versions of what used it.

    Args:
        parameters: As configured; mappings may be nested.
        today: When the report is written.

    Returns:
        Text: `setting, value`; versions are `version <package>`, and `report written on` is a date.
        They are those of the installation that writes the report.
    """
    rows = _flat(parameters)
    rows |= {f"version {package}": version(package) for package in PACKAGES}
    rows |= {"version python": platform.python_version(), "report written on": today.isoformat()}
    texts = {name: _text(value) for name, value in rows.items()}
    return pd.DataFrame({"setting": list(texts), "value": list(texts.values())})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in parameters.items():
        nested = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
