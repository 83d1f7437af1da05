"""Whether organs lie as they do in a patient: left and right, front and back, head and feet."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

AXES = ("left_right", "front_back", "head_feet")
"""Of a patient, in the order of LPS."""

_ENOUGH_FOR_ALL_AXES = 3
_ALIKE_MM = 5.0
"""Fits that differ by less (root mean square) are alike: the one that changes least is taken."""

Xyz = tuple[float, float, float]


class Turned(NamedTuple):
    """How organs would lie as they should.

    Attributes:
        axes: Those of `AXES` that are the wrong way round, joined by ", "; "exchanged" where axes
            stand for each other; empty if nothing is to be changed.
        misplacement_mm: How much nearer all organs together then are to where they should be.
    """

    axes: str
    misplacement_mm: float


def turned(centres_mm: Mapping[int, Xyz], expected_mm: Mapping[int, Xyz]) -> Turned | None:
    """Find which of the 48 ways to exchange and mirror the axes fits an expected arrangement best.

    All organs count together, so that one that lies oddly (a large spleen, a low kidney, what is
    left of a liver) decides nothing. Two organs tell left from right alone.

    Args:
        centres_mm: Centres of organs (LPS) by id.
        expected_mm: Where they are in a patient on the back, from any origin.

    Returns:
        The best way; None of fewer than two organs. `misplacement_mm` is the root of the organs'
        summed squared distances from where they should be, less those of the best way: it grows
        with the number of organs that say so, as a likelihood does.
    """
    known = sorted(centres_mm.keys() & expected_mm.keys())
    if len(known) <= 1:
        return None
    found, expected = (
        points - points.mean(axis=0)
        for points in (np.array([place[i] for i in known]) for place in (centres_mm, expected_mm))
    )
    if len(known) >= _ENOUGH_FOR_ALL_AXES:
        orders, signs = itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)
        ways = [*itertools.product(orders, signs)]  # the first leaves everything as it is
    else:
        ways = [((0, 1, 2), (sign, 1, 1)) for sign in (1, -1)]
    squares = np.array([((found[:, order] * sign - expected) ** 2).sum() for order, sign in ways])
    misfits_mm = np.sqrt(squares / len(known))
    alike = np.flatnonzero(misfits_mm <= misfits_mm.min() + _ALIKE_MM)
    best = min(alike, key=lambda way: (_n_changes(*ways[way]), squares[way]))
    return Turned(_changes(*ways[best]), float(np.sqrt(squares[0] - squares[best])))


def _n_changes(order: tuple[int, ...], signs: tuple[int, ...]) -> int:
    return sum(was != now for was, now in enumerate(order)) + sum(sign < 0 for sign in signs)


def _changes(order: tuple[int, ...], signs: tuple[int, ...]) -> str:
    if order != (0, 1, 2):
        return "exchanged"
    return ", ".join(axis for axis, sign in zip(AXES, signs, strict=True) if sign < 0)
