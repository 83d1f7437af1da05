"""Lesions found and false positives at each confidence: the free-response curve.

No probabilities of nnU-Net are kept, only how many folds call a voxel CRLM. The mean share of folds
over a lesion is its confidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coala_kedro.imaging.lesions import label_lesions, union_box
from coala_kedro.statistics.lesion_matching import Match, match_lesions
from coala_kedro.statistics.overlap import BoolArray

COLUMNS = ("model", "cohort", "threshold", "sensitivity", "false_positives_per_scan", "note")
CANDIDATE_TYPES = {"confidence": "float64", "hit": "bool", "in_prediction": "bool"}


def candidates(
    reference: BoolArray, predicted: BoolArray, votes: NDArray[Any], n_folds: int
) -> pd.DataFrame:
    """The lesions that a model predicts, and those that only some of its folds see.

    Args:
        reference: Consensus mask, boolean zyx.
        predicted: The model's mask, all folds together.
        votes: How many folds alone call a voxel CRLM, 0 … n_folds, zyx.
        n_folds: Folds of the model.

    Returns:
        One row a candidate with `CANDIDATE_TYPES`: `confidence`, 0 … 1; `hit`, whether it was
        matched with a lesion of the consensus; `in_prediction`. Lesions of the prediction are
        matched first, just as for `lesion_metrics`. What some folds see and touches none of those
        is a candidate of its own, matched with what is left.
    """
    seen_by_any = votes > 0
    box = union_box(reference, predicted, seen_by_any)
    masks = reference[box], predicted[box], seen_by_any[box] | predicted[box]
    labels = [label_lesions(mask)[0] for mask in masks]
    # Voxels outside all lesions count nowhere; without them the arrays are short.
    anywhere = masks[0] | masks[2]
    own, drawn, seen = (label[anywhere] for label in labels)
    votes = votes[box][anywhere]
    matches = match_lesions(own, drawn)
    extra = np.where(np.isin(seen, seen[drawn > 0]), 0, seen)
    rest = np.where(np.isin(own, [match.reference for match in matches]), 0, own)
    frames = [
        _rows(drawn, votes, n_folds, matches).assign(in_prediction=True),
        _rows(extra, votes, n_folds, match_lesions(rest, extra)).assign(in_prediction=False),
    ]
    return pd.concat(frames, ignore_index=True).astype(CANDIDATE_TYPES)


def _rows(
    labels: NDArray[Any], votes: NDArray[Any], n_folds: int, matches: list[Match]
) -> pd.DataFrame:
    voxels, total = np.bincount(labels), np.bincount(labels, weights=votes)
    lesions = np.flatnonzero(voxels)
    lesions = lesions[lesions > 0]
    confidence = (total[lesions] / voxels[lesions] / n_folds).round(6)
    hit = np.isin(lesions, [match.predicted for match in matches])
    return pd.DataFrame({"confidence": confidence, "hit": hit})


def free_response(candidates: pd.DataFrame, scan_metrics: pd.DataFrame) -> pd.DataFrame:
    """The free-response curve of every model and cohort.

    Args:
        candidates: One row per candidate: `model`, `cohort`, `confidence`, `hit`.
        scan_metrics: One row per model and scan: `model`, `cohort`, `n_lesions`.

    Returns:
        Frame with `COLUMNS`: a row for each confidence that occurs, falling, with the sensitivity
        (NaN without lesions) and false positives of all candidates of at least this confidence;
        one row without a threshold where no fold sees anything. `note` says why something is NaN.
    """
    curves = []
    for (model, cohort), scans in scan_metrics.groupby(["model", "cohort"], sort=False):
        own = candidates[(candidates["model"] == model) & (candidates["cohort"] == cohort)]
        n_lesions = int(scans["n_lesions"].sum())
        reasons = [] if n_lesions else ["no lesion in the consensus"]
        counts = own.groupby("confidence")["hit"].agg(["sum", "count"])
        counts = counts.sort_index(ascending=False).cumsum()
        if counts.empty:
            counts = pd.DataFrame({"sum": [0], "count": [0]}, index=[np.nan])
            reasons.append("no fold sees a lesion")
        curve = pd.DataFrame(
            {
                "threshold": counts.index.to_numpy(dtype=float),
                "sensitivity": counts["sum"].to_numpy(dtype=float) / (n_lesions or np.nan),
                "false_positives_per_scan": (counts["count"] - counts["sum"]).to_numpy(dtype=float)
                / len(scans),
            }
        )
        curves.append(curve.assign(model=str(model), cohort=str(cohort), note="; ".join(reasons)))
    rows = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=list(COLUMNS))
    return rows[list(COLUMNS)]
