"""What a model finds and invents as one trusts it less: the free-response curve.

nnU-Net keeps no probabilities here, but how many of its folds call a voxel CRLM alone. The mean
share of folds over a lesion is its confidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coala_kedro.imaging.lesions import label_lesions, union_box
from coala_kedro.statistics.lesion_matching import match_lesions
from coala_kedro.statistics.overlap import BoolArray

CANDIDATE_TYPES = {"confidence": "float64", "hit": "bool", "in_prediction": "bool"}


def candidates(
    reference: BoolArray, predicted: BoolArray, votes: NDArray[Any], n_folds: int
) -> pd.DataFrame:
    """The lesions that a model draws, and those that only some of its folds see.

    Args:
        reference: Consensus mask, boolean zyx.
        predicted: The model's mask, all folds together.
        votes: How many folds call a voxel CRLM alone, 0 … n_folds.
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
    # Where no lesion is, nothing is to be counted: the rest is short, and in no order.
    anywhere = masks[0] | masks[2]
    own, drawn, seen = (label[anywhere] for label in labels)
    votes = votes[box][anywhere]
    matches = match_lesions(own, drawn)
    parts = [_rows(drawn, votes, n_folds, {match.predicted for match in matches})]
    extra = np.where(np.isin(seen, seen[drawn > 0]), 0, seen)
    rest = np.where(np.isin(own, [match.reference for match in matches]), 0, own)
    more = {match.predicted for match in match_lesions(rest, extra)}
    parts.append(_rows(extra, votes, n_folds, more))
    frames = [rows.assign(in_prediction=n == 0) for n, rows in enumerate(parts)]
    return pd.concat(frames, ignore_index=True).astype(CANDIDATE_TYPES)


def _rows(labels: NDArray[Any], votes: NDArray[Any], n_folds: int, hits: set[int]) -> pd.DataFrame:
    voxels, total = np.bincount(labels), np.bincount(labels, weights=votes)
    lesions = np.flatnonzero(voxels)
    lesions = lesions[lesions > 0]
    confidence = (total[lesions] / voxels[lesions] / n_folds).round(6)
    return pd.DataFrame({"confidence": confidence, "hit": np.isin(lesions, list(hits))})


def free_response(candidates: pd.DataFrame, scan_metrics: pd.DataFrame) -> pd.DataFrame:
    """The free-response curve of every model and cohort.

    Args:
        candidates: One row per candidate: `model`, `cohort`, `confidence`, `hit`.
        scan_metrics: One row per model and scan: `model`, `cohort`, `n_lesions`.

    Returns:
        `model, cohort, threshold, sensitivity, false_positives_per_scan, note`: a row for each
        confidence that occurs, falling; one without a threshold where no fold sees anything.
        `note` says why something is NaN.
    """
    curves = []
    for (model, cohort), scans in scan_metrics.groupby(["model", "cohort"], sort=False):
        own = candidates[(candidates["model"] == model) & (candidates["cohort"] == cohort)]
        n_lesions = int(scans["n_lesions"].sum())
        points = froc_points(own, n_lesions, len(scans))
        reason = "" if n_lesions else "no lesion in the consensus"
        if points.empty:
            nothing = 0.0 if n_lesions else np.nan
            points.loc[0] = [np.nan, nothing, 0.0]
            reason = "; ".join(filter(None, [reason, "no fold sees a lesion"]))
        curves.append(points.assign(model=str(model), cohort=str(cohort), note=reason))
    columns = ["model", "cohort", "threshold", "sensitivity", "false_positives_per_scan", "note"]
    return (
        pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)
    )


def froc_points(candidates: pd.DataFrame, n_lesions: int, n_scans: int) -> pd.DataFrame:
    """Free-response ROC: what a model finds and invents as its threshold falls.

    Args:
        candidates: One row per candidate of all scans: `confidence`, and `hit`, whether it was
            matched with a lesion of the consensus (one to one).
        n_lesions: Lesions of the consensus in all scans.
        n_scans: Scans, with lesions or without.

    Returns:
        `threshold` (each confidence, falling), `sensitivity` (NaN without lesions) and
        `false_positives_per_scan` of the candidates that are as sure.
    """
    by_confidence = candidates.groupby("confidence")["hit"].agg(["sum", "count"])
    by_confidence = by_confidence.sort_index(ascending=False)
    found, drawn = by_confidence["sum"].cumsum(), by_confidence["count"].cumsum()
    return pd.DataFrame(
        {
            "threshold": by_confidence.index.to_numpy(dtype=float),
            "sensitivity": found.to_numpy(dtype=float) / (n_lesions or np.nan),
            "false_positives_per_scan": (drawn - found).to_numpy(dtype=float) / n_scans,
        }
    )
