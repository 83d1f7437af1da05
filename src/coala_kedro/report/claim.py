"""The CLAIM 2024 checklist, answered where the software can.

Tejani et al., Radiology: Artificial Intelligence 2024, 6(4), e240300. `claim.csv` has the
forty-four items in our own words; an answer may name settings, as `{protocol.epochs}`, and the
study's `{cohorts}` and `{hospitals}`. Items that only the study's people can answer (aims, ethics,
funding) say so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

import pandas as pd


def claim_table(settings: pd.DataFrame, cohorts: Sequence[str]) -> pd.DataFrame:
    """Answer the checklist.

    Args:
        settings: As `run_settings.settings_table` returns it.
        cohorts: Of the study: `internal`, then the external ones.

    Returns:
        `item` (from 1), `section`, `topic`, `answered` (`yes`, `partly`, `no`) and `answer`.

    Raises:
        KeyError: An answer names a setting that is not there.
    """
    values = dict(zip(settings["setting"], settings["value"], strict=True))
    values |= _hospitals(*cohorts)
    with (resources.files("coala_kedro.report") / "claim.csv").open(encoding="utf-8") as file:
        items = pd.read_csv(file)
    answers = [
        re.sub(r"\{(.+?)\}", lambda name: values[name[1]], answer) for answer in items["answer"]
    ]
    return items.assign(answer=answers)


def _hospitals(internal: str, *external: str) -> dict[str, str]:
    """The cohorts in words."""
    if len(external) == 1:
        return {
            "cohorts": f"Two cohorts, {internal} and {external[0]}",
            "hospitals": "an internal and an external hospital",
        }
    return {
        "cohorts": f"Cohorts: {', '.join([internal, *external])}",
        "hospitals": f"an internal hospital and {len(external)} external ones",
    }
