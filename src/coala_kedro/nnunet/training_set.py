"""The scans and label maps a model is trained on, and their folds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from coala_kedro.fingerprint import fingerprint


class TrainingSetError(ValueError):
    """A training set cannot be used; the message says what to mend."""


class Case(BaseModel):
    """One scan with its label map, where they lie, and the fingerprints of their content.

    The former ones are those of version 0.1.0, see `coala_kedro.former`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patient_id: str
    source: Literal["manual", "pseudo"]
    scan: Path
    label_map: Path
    content: tuple[str, str]
    former_content: tuple[str | None, str | None] = (None, None)


class TrainingSet(BaseModel):
    """All cases by scan id. Its fingerprint is the content's, wherever the files lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cases: dict[str, Case]

    @property
    def fingerprint(self) -> str:
        """Changes with a scan, a label map, a patient or a source; not with a path."""
        return fingerprint(
            {
                scan_id: [case.patient_id, case.source, *case.content]
                for scan_id, case in sorted(self.cases.items())
            }
        )

    @property
    def former_fingerprint(self) -> str | None:
        """As version 0.1.0 knew it; None if it did not."""
        contents = [content for case in self.cases.values() for content in case.former_content]
        if None in contents:
            return None
        return fingerprint(
            {
                scan_id: [case.patient_id, case.source, *case.former_content]
                for scan_id, case in sorted(self.cases.items())
            }
        )


class Fold(BaseModel):
    """Scan ids of one fold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: list[str]
    validation: list[str]


def split_by_patient(training_set: TrainingSet, n_folds: int, seed: int) -> list[Fold]:
    """Folds in which no patient is on both sides and every case is validated exactly once.

    nnU-Net's own folds are drawn by case. The cascade needs every case in exactly one validation
    part: that is where its low-resolution prediction comes from. Manual and pseudo-labelled cases
    are spread evenly.

    Args:
        training_set: Cases with their patients.
        n_folds: How many folds.
        seed: Of the draw.

    Raises:
        TrainingSetError: There are fewer patients than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    scan_ids = sorted(training_set.cases)
    cases = [training_set.cases[scan_id] for scan_id in scan_ids]
    patients = [case.patient_id for case in cases]
    if len(set(patients)) < n_folds:
        raise TrainingSetError(
            f"{n_folds} folds need at least {n_folds} patients, and there are {len(set(patients))} "
            f"({len(cases)} scans): outline scans of more patients."
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    sources: list[str] = [case.source for case in cases]
    if min(map(sources.count, set(sources))) < n_folds:
        sources = ["any"] * len(cases)
    ids = np.array(scan_ids)
    return [
        Fold(train=list(ids[train]), validation=list(ids[validation]))
        for train, validation in splitter.split(ids, sources, patients)
    ]
