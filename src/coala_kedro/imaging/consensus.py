"""One mask from several readers' masks: STAPLE, or the majority's vote.

With R readers every voxel is one of 2^R vote patterns ("reader 1 yes, reader 2 no, ..."), and both
methods treat voxels of one pattern alike. So votes are counted once, and everything after works on
a handful of patterns instead of millions of voxels.

STAPLE can go wrong without a sign. It estimates each reader's sensitivity from the voxels of this
one scan; where lesions are few or small (the EXTERNAL cohort: 72 lesions in 50 scans) the prior is
tiny, and one reader may come to dominate. Two readers hold no majority: the larger mask wins, or,
where one holds all of the other, the smaller. Look at each reader's sensitivity and specificity,
the iterations and the agreement with the majority's vote (`imaging.readers`) before trusting a
consensus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.geometry import grid_differences, image_like, labels_zyx, replace_labels

STAPLE = "staple"
MAJORITY_VOTE = "majority_vote"

CONVERGED = 1e-7
"""EM stops when no sensitivity or specificity moved by more: `itk::STAPLEImageFilter`'s rule."""

LESION = 0.5 + 1e-9
"""A voxel is lesion above this probability: the paper's > 0.5, with room for rounding.

Ties are common with two readers: where one outlines all that the other does, and more, EM leaves
the margin at exactly one half, and ITK's rounding decides over it. Here a tie is no lesion.
"""

MAX_ITERATIONS = 200_000
"""Some ten seconds; ITK has no limit. Only masks that share no lesion come near it."""

MAX_READERS = 16


@dataclass(frozen=True)
class Consensus:
    """The consensus of one scan's readers.

    Attributes:
        mask: uint8 image on the readers' grid, 1 where the consensus sees a lesion.
        method: `staple` or `majority_vote`.
        iterations: EM rounds after the first, as ITK counts them; 0 without EM.
        sensitivity: Of each reader. STAPLE's is EM's estimate, weighted by the probability of each
            voxel; the majority's is counted on its mask. NaN where nothing is foreground.
        specificity: Likewise; NaN where nothing is background.
    """

    mask: sitk.Image
    method: str
    iterations: int
    sensitivity: Mapping[str, float]
    specificity: Mapping[str, float]


@dataclass(frozen=True)
class VotePatterns:
    """The votes of R readers on every voxel, counted by pattern.

    Attributes:
        readers: The R names, sorted, so that their order never changes a result.
        code: Array (z, y, x), unsigned: bit r is the vote of reader r.
        observed: The P codes that occur, ascending.
        voxels: How many voxels have each of them, shape (P,).
    """

    readers: tuple[str, ...]
    code: np.ndarray
    observed: np.ndarray
    voxels: np.ndarray

    @cached_property
    def votes(self) -> np.ndarray:
        """Whether reader r says lesion in pattern p: bool, shape (P, R)."""
        return (self.observed[:, None] >> np.arange(len(self.readers)) & 1).astype(bool)

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Give every voxel the value of its vote pattern.

        Args:
            values: One value a pattern, of shape (P,).

        Returns:
            Array (z, y, x) of the values' type.
        """
        table = np.zeros(2 ** len(self.readers), dtype=values.dtype)
        table[self.observed] = values
        return replace_labels(self.code, table)


def count_votes(masks: Mapping[str, sitk.Image]) -> VotePatterns:
    """Count how the readers of one scan voted.

    Args:
        masks: Each reader's mask, 1 to 16 of them on one grid; nonzero is lesion.

    Returns:
        The vote patterns.

    Raises:
        ValueError: No mask or too many, masks on different grids (each is named with what
            differs), or values that are no labels.
    """
    if not 1 <= len(masks) <= MAX_READERS:
        raise ValueError(f"{len(masks)} readers' masks given: need 1 to {MAX_READERS}.")
    readers = tuple(sorted(masks))
    _refuse_different_grids(masks, readers)
    reference = masks[readers[0]]
    code = np.zeros(reference.GetSize()[::-1], np.min_scalar_type(2 ** len(readers) - 1))
    for bit, reader in enumerate(readers):
        outlined = labels_zyx(masks[reader], f"The mask of reader '{reader}'") != 0
        code |= outlined * code.dtype.type(1 << bit)
    voxels = np.zeros(2 ** len(readers), dtype=np.int64)
    for plane in code:
        voxels += np.bincount(plane.ravel(), minlength=len(voxels))
    observed = np.flatnonzero(voxels)
    return VotePatterns(readers, code, observed, voxels[observed])


def _refuse_different_grids(masks: Mapping[str, sitk.Image], readers: tuple[str, ...]) -> None:
    first = readers[0]
    faults = [
        f"- reader '{reader}': {'; '.join(differences)}\n"
        for reader in readers[1:]
        if (differences := grid_differences(masks[reader], masks[first]))
    ]
    if faults:
        raise ValueError(
            f"Masks are not on the grid of reader '{first}':\n{''.join(faults)}"
            "Resample them to their scan's grid first (nearest neighbour)."
        )


def staple(masks: Mapping[str, sitk.Image]) -> Consensus:
    """Merge masks by STAPLE: lesion where its probability is above one half.

    Expectation maximisation as in Warfield, Zou and Wells (IEEE TMI 2004,
    10.1109/TMI.2004.828354), started, weighted and stopped as `SimpleITK.STAPLEImageFilter` does
    with confidence weight 1, so the outcome is that filter's: the mean vote is the first truth and
    its mean over the whole volume the prior. The threshold is `LESION`.

    Where all readers agree (one reader, or all empty) their mask is the consensus, without EM:
    iterations 0, sensitivity and specificity 1, or NaN where there is no fore- or background.

    Args:
        masks: Each reader's mask, 1 to 16 of them on one grid; nonzero is lesion.

    Returns:
        The consensus; see the module's docstring for when to distrust it.

    Raises:
        ValueError: As `count_votes`.
    """
    patterns = count_votes(masks)
    probability, iterations = estimate_truth(patterns)
    return _consensus(masks, patterns, STAPLE, iterations, probability)


def majority_vote(masks: Mapping[str, sitk.Image]) -> Consensus:
    """Merge masks by vote: lesion where more than half of the readers say so.

    Args:
        masks: Each reader's mask, 1 to 16 of them on one grid; nonzero is lesion.

    Returns:
        The consensus.

    Raises:
        ValueError: As `count_votes`.
    """
    patterns = count_votes(masks)
    lesion = patterns.votes.mean(axis=1) > 0.5
    return _consensus(masks, patterns, MAJORITY_VOTE, 0, lesion.astype(float))


def estimate_truth(patterns: VotePatterns) -> tuple[np.ndarray, int]:
    """Estimate by EM how probably each vote pattern is lesion.

    Args:
        patterns: The readers' votes.

    Returns:
        The probability of each pattern, shape (P,), and the rounds after the first.
    """
    votes = patterns.votes
    probability = votes.mean(axis=1)
    if np.isin(probability, (0, 1)).all():
        return probability, 0
    prior = patterns.voxels @ probability / patterns.voxels.sum()
    rates, change, iterations = _maximise(patterns, probability), np.inf, 0
    while change > CONVERGED and iterations < MAX_ITERATIONS:
        previous, rates = rates, _maximise(patterns, _expect(votes, rates, prior))
        change, iterations = np.abs(rates - previous).max(), iterations + 1
    return _expect(votes, rates, prior), iterations


def _expect(votes: np.ndarray, rates: np.ndarray, prior: float) -> np.ndarray:
    """E-step: probability (P,) that each pattern is lesion, from the readers' rates (2, R)."""
    sensitivity, specificity = rates
    lesion = prior * np.where(votes, sensitivity, 1 - sensitivity).prod(axis=1)
    healthy = (1 - prior) * np.where(votes, 1 - specificity, specificity).prod(axis=1)
    # Never 0 / 0: EM does not lower the likelihood of a pattern that was observed to zero.
    return lesion / (lesion + healthy)


def _maximise(patterns: VotePatterns, probability: np.ndarray) -> np.ndarray:
    """M-step: sensitivity and specificity (2, R), from each pattern's probability (P,)."""
    lesion = patterns.voxels * probability
    healthy = patterns.voxels * (1 - probability)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: nothing is lesion, or everything
        return np.stack(
            [lesion @ patterns.votes / lesion.sum(), healthy @ ~patterns.votes / healthy.sum()]
        )


def _consensus(
    masks: Mapping[str, sitk.Image],
    patterns: VotePatterns,
    method: str,
    iterations: int,
    probability: np.ndarray,
) -> Consensus:
    sensitivity, specificity = _maximise(patterns, probability).tolist()
    return Consensus(
        mask=image_like(patterns.paint(probability > LESION), masks[patterns.readers[0]]),
        method=method,
        iterations=iterations,
        sensitivity=dict(zip(patterns.readers, sensitivity, strict=True)),
        specificity=dict(zip(patterns.readers, specificity, strict=True)),
    )
