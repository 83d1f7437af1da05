"""How well the readers of one scan agree: with the consensus, with each other, on each lesion.

Three tidy frames for one scan; put a `scan_id` before each and stack them to get a cohort's. A Dice
of two empty masks is NaN: there was nothing to agree on.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import SimpleITK as sitk

from coala_kedro.imaging.consensus import Consensus, VotePatterns, count_votes, majority_vote
from coala_kedro.imaging.geometry import volume_ml_per_voxel
from coala_kedro.imaging.lesions import label_lesions, lesion_volumes_ml

CONSENSUS = "consensus"
"""Name of the consensus in comparisons of readers; no reader may have it."""


def rate_consensus(masks: Mapping[str, sitk.Image], consensus: Consensus) -> pd.DataFrame:
    """Describe a consensus, and whether the majority would have outlined the same.

    Args:
        masks: Each reader's mask, on one grid; nonzero is lesion.
        consensus: What was made of them.

    Returns:
        One row: `method`, `iterations`, `n_readers`, `consensus_ml`, `majority_ml` and
        `majority_dice`, the Dice of the consensus and the majority's mask. A low one says that
        STAPLE followed a single reader.

    Raises:
        ValueError: As `count_votes`.
    """
    majority = majority_vote(masks).mask
    patterns = count_votes({CONSENSUS: consensus.mask, "majority": majority})
    in_consensus, in_majority = patterns.votes.T
    ml_per_voxel = volume_ml_per_voxel(consensus.mask)
    row = {
        "method": consensus.method,
        "iterations": consensus.iterations,
        "n_readers": len(masks),
        "consensus_ml": patterns.voxels[in_consensus].sum() * ml_per_voxel,
        "majority_ml": patterns.voxels[in_majority].sum() * ml_per_voxel,
        "majority_dice": _dice(patterns.voxels, in_consensus, in_majority),
    }
    return pd.DataFrame([row])


def rate_readers(masks: Mapping[str, sitk.Image], consensus: Consensus) -> pd.DataFrame:
    """Rate every reader against the consensus and against every other reader.

    Args:
        masks: Each reader's mask, on one grid; nonzero is lesion.
        consensus: What was made of them.

    Returns:
        Columns `reader`, `against`, `dice`, `sensitivity`, `specificity`: first a row for each
        reader against `consensus`, then one for each pair of readers, named once. Sensitivity and
        specificity are the consensus method's own estimates, NaN for pairs: no reader is the truth.

    Raises:
        ValueError: As `count_votes`, or a reader is called `consensus`.
    """
    patterns = _votes_beside_consensus(masks, consensus)
    votes = dict(zip(patterns.readers, patterns.votes.T, strict=True))
    readers = sorted(masks)
    rows = [
        {
            "reader": reader,
            "against": against,
            "dice": _dice(patterns.voxels, votes[reader], votes[against]),
            "sensitivity": consensus.sensitivity[reader] if against == CONSENSUS else np.nan,
            "specificity": consensus.specificity[reader] if against == CONSENSUS else np.nan,
        }
        for reader, against in [
            *((reader, CONSENSUS) for reader in readers),
            *combinations(readers, 2),
        ]
    ]
    return pd.DataFrame(rows)


def rate_lesions(masks: Mapping[str, sitk.Image], consensus: Consensus) -> pd.DataFrame:
    """Count how many readers saw each lesion, and whether the consensus kept it.

    A lesion is a connected part of the union of all readers' masks, so two lesions that one reader
    outlined as a single one count once.

    Args:
        masks: Each reader's mask, on one grid; nonzero is lesion.
        consensus: What was made of them.

    Returns:
        One row a lesion: `lesion` (1 … n), `volume_ml` (of the union), `n_readers` (who outlined
        any of its voxels), `in_consensus` (whether the consensus kept any). No rows if no reader
        saw a lesion.

    Raises:
        ValueError: As `count_votes`, or a reader is called `consensus`.
    """
    patterns = _votes_beside_consensus(masks, consensus)
    consensus_bit = patterns.readers.index(CONSENSUS)
    reader_bits = [bit for bit in range(len(patterns.readers)) if bit != consensus_bit]
    union = patterns.paint(patterns.observed & ~(1 << consensus_bit) != 0)
    labels, n_lesions = label_lesions(union)
    lesion_of_voxel, code_of_voxel = labels[union], patterns.code[union]
    touched = np.zeros((len(patterns.readers), n_lesions), dtype=bool)
    for bit, outlined in enumerate(touched):
        outlined[lesion_of_voxel[code_of_voxel >> bit & 1 == 1] - 1] = True
    return pd.DataFrame(
        {
            "lesion": np.arange(1, n_lesions + 1),
            "volume_ml": lesion_volumes_ml(labels, n_lesions, volume_ml_per_voxel(consensus.mask)),
            "n_readers": touched[reader_bits].sum(axis=0),
            "in_consensus": touched[consensus_bit],
        }
    )


def _votes_beside_consensus(masks: Mapping[str, sitk.Image], consensus: Consensus) -> VotePatterns:
    if CONSENSUS in masks:
        raise ValueError(f"A reader is called '{CONSENSUS}': rename that folder of masks.")
    return count_votes({**masks, CONSENSUS: consensus.mask})


def _dice(voxels: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two masks given by the patterns (P,) they hold and the voxels of each pattern."""
    total = voxels[a].sum() + voxels[b].sum()
    return float(2 * voxels[a & b].sum() / total) if total else np.nan
