"""Steps that make one consensus of the readers' masks, and say how the readers agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk
from pydantic import BaseModel, ConfigDict, Field

from coala_kedro.cohort import OUTLINED_ROLES, scans_with_role
from coala_kedro.datasets import LazyVolume
from coala_kedro.datasets.grouping import by_scan
from coala_kedro.fingerprint import recipe
from coala_kedro.imaging.consensus import (
    CONVERGED,
    LESION,
    MAX_ITERATIONS,
    count_votes,
    majority_vote,
    staple,
)
from coala_kedro.imaging.geometry import image_like, oriented
from coala_kedro.imaging.readers import rate_consensus, rate_lesions, rate_readers

ConsensusEstimate = dict[str, Any]

METHODS = {"staple": staple, "majority_vote": majority_vote}
RATINGS = {"readers": rate_readers, "consensus": rate_consensus, "lesions": rate_lesions}
_CONSTANTS: dict[str, Any] = {
    "converged": CONVERGED,
    "lesion_above": LESION,
    "max_iterations": MAX_ITERATIONS,
}


class ConsensusMethod(BaseModel):
    """How the readers' masks become one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["staple", "majority_vote"] = Field("staple")


def estimate_consensus(
    usable_scans: pd.DataFrame, reader_masks: Mapping[str, LazyVolume], consensus: ConsensusMethod
) -> dict[str, Callable[[], ConsensusEstimate]]:
    """Estimate the consensus of every outlined scan, and rate its readers.

    Args:
        usable_scans: Scan table.
        reader_masks: Keyed `<reader>/<scan_id>`.
        consensus: The method.

    Returns:
        Recipes by scan id; each makes `lesion` (the votes that the consensus takes for a lesion, as
        `imaging.consensus.VotePatterns` numbers them) and the frames of `imaging.readers`.
    """
    masks = by_scan(reader_masks)
    return {
        scan_id: partial(_estimate, masks[scan_id], consensus.method)
        for scan_id in scans_with_role(usable_scans, *OUTLINED_ROLES)
    }


@recipe("consensus_estimate", **_CONSTANTS)
def _estimate(masks: Mapping[str, LazyVolume], method: str) -> ConsensusEstimate:
    # Lesions are numbered along the patient's axes, not along the file's.
    read = {reader: oriented(mask()) for reader, mask in masks.items()}
    merged = METHODS[method](read)
    in_consensus = sitk.GetArrayViewFromImage(merged.mask) != 0
    frames = {name: rate(read, merged).to_dict("split") for name, rate in RATINGS.items()}
    return {"lesion": np.unique(count_votes(read).code[in_consensus]).tolist(), **frames}


def merge_readers(
    usable_scans: pd.DataFrame,
    reader_masks: Mapping[str, LazyVolume],
    consensus_estimates: Mapping[str, ConsensusEstimate],
    consensus: ConsensusMethod,
) -> dict[str, Callable[[], sitk.Image]]:
    """Merge the readers' masks of every outlined scan into one consensus mask.

    Args:
        usable_scans: Scan table.
        reader_masks: Keyed `<reader>/<scan_id>`.
        consensus_estimates: What `estimate_consensus` made, by scan id.
        consensus: The method.

    Returns:
        Recipes by scan id; each makes a uint8 mask, 1 where the consensus sees CRLM.
    """
    masks = by_scan(reader_masks)
    return {
        scan_id: partial(
            _consensus_mask,
            masks[scan_id],
            consensus.method,
            estimated=_Estimated(consensus_estimates[scan_id]),
        )
        for scan_id in scans_with_role(usable_scans, *OUTLINED_ROLES)
    }


@dataclass(frozen=True)
class _Estimated:
    """An estimate without a fingerprint: it follows from the masks and the method."""

    estimate: ConsensusEstimate
    fingerprint = ""


@recipe("consensus_mask", **_CONSTANTS)
def _consensus_mask(
    masks: Mapping[str, LazyVolume], method: str, estimated: Any = ""
) -> sitk.Image:
    read = {reader: mask() for reader, mask in masks.items()}
    votes = count_votes(read)
    lesion = np.isin(votes.observed, estimated.estimate["lesion"])
    return image_like(votes.paint(lesion), read[votes.readers[0]])


def compare_readers(
    accepted_scans: pd.DataFrame, consensus_estimates: Mapping[str, ConsensusEstimate]
) -> tuple[pd.DataFrame, ...]:
    """Collect how the readers of every outlined scan agree; see `coala_kedro.imaging.readers`.

    Args:
        accepted_scans: Scan table.
        consensus_estimates: What `estimate_consensus` made, by scan id.

    Returns:
        Three frames, each with `scan_id` first: readers against the consensus and each other, the
        consensus against the majority, and the lesions by how many readers saw them.
    """
    outlined = scans_with_role(accepted_scans, *OUTLINED_ROLES)
    frames = []
    for name in RATINGS:
        ratings = [
            pd.DataFrame(**consensus_estimates[scan_id][name]).assign(scan_id=scan_id)
            for scan_id in outlined
        ]
        rated = [rows for rows in ratings if len(rows)] or ratings
        frame = pd.concat(rated or [pd.DataFrame(columns=["scan_id"])], ignore_index=True)
        frames.append(frame.set_index("scan_id").reset_index())
    return tuple(frames)
