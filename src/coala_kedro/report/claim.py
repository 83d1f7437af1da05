"""The CLAIM 2024 checklist, answered where the software can.

Tejani et al., Radiology: Artificial Intelligence 2024, 6(4), e240300. `claim.csv` has the
forty-four items in our own words; an answer may name settings, as `{protocol.epochs}`. What only
the study's people can say (aims, ethics, funding) is said to be theirs.
"""

from __future__ import annotations

import re
from importlib import resources

import pandas as pd


def claim_table(settings: pd.DataFrame) -> pd.DataFrame:
    """Answer the checklist.

    Args:
        settings: As `run_settings.settings_table` returns it.

    Returns:
        `item` (from 1), `section`, `topic`, `answered` (`yes`, `partly`, `no`) and `answer`.

    Raises:
        KeyError: An answer names a setting that is not there.
    """
    values = dict(zip(settings["setting"], settings["value"], strict=True))
    with (resources.files("coala_kedro.report") / "claim.csv").open(encoding="utf-8") as file:
        items = pd.read_csv(file)
    answers = [
        re.sub(r"\{(.+?)\}", lambda name: values[name[1]], answer) for answer in items["answer"]
    ]
    return items.assign(answer=answers)
