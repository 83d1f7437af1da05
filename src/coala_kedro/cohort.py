"""Words of a cohort: roles, timepoints, and what ids and readers' names are made of.

Raw layout of a cohort: `scans.csv`, `scans/<scan_id>.nii.gz`, `readers/<reader>/<scan_id>.nii.gz`
and, where organs are already outlined, `organs/<scan_id>.nii.gz`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

N_FOLDS = 5
"""Of cross-validation, 80:20 (Bereska et al. 2024, Methods)."""

TIMEPOINTS = ("pre", "post")
ROLES = ("manual", "unlabelled", "test")
OUTLINED_ROLES = ("manual", "test")
"""Roles whose scans readers have outlined."""

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
"""What scan and patient ids are made of, from their first character to their last."""

_READER = r"\w[\w .-]{0,63}"
_NO_READERS = ("consensus",)


class CohortError(ValueError):
    """A cohort's table or files are not what the study can use; the message says what to mend."""


def check_readers(readers: Iterable[str], cohort: str) -> None:
    """Make sure that readers' names can be folders, and headings of tables and pages.

    Args:
        readers: Their names.
        cohort: Name of the cohort, for messages.

    Raises:
        CohortError: One cannot. It is not shown: folders are at times named after patients.
    """
    names = sorted({*readers})
    wrong = [n for n in names if not re.fullmatch(_READER, n) or n.lower() in _NO_READERS]
    if wrong:
        raise CohortError(
            f"{len(wrong)} of {len(names)} readers of cohort '{cohort}' have names that cannot be "
            "used: letters, digits, spaces and '_', '-', '.' can, at most 64 in all, the first a "
            f"letter or a digit, and not '{_NO_READERS[0]}'. Name the readers' folders otherwise, "
            "or mend the pattern of the masks' entry."
        )


def scans_with_role(table: pd.DataFrame, *roles: str) -> list[str]:
    """Scan ids with one of the roles, in the table's order.

    Args:
        table: A scan table.
        *roles: Of `ROLES`.
    """
    return list(table.loc[table["role"].isin(roles), "scan_id"])
