"""STAPLE by vote patterns beside SimpleITK's filter, on the same three readers.

Run `python benchmarks/consensus.py`; it takes a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.consensus import staple

SHAPE = (80, 200, 200)
N_READERS = 3


def outline_lesions(n_lesions: int) -> dict[str, sitk.Image]:
    """Readers who see nine lesions in ten, each with a border of their own."""
    rng = np.random.default_rng(n_lesions)
    axes = np.ogrid[tuple(slice(size) for size in SHAPE)]
    masks = np.zeros((N_READERS, *SHAPE), dtype=np.uint8)
    for _ in range(n_lesions):
        centre, radius = rng.uniform(0, SHAPE), rng.uniform(3, 12)
        for mask in masks:
            if rng.random() > 0.9:
                continue
            at, reach = centre + rng.uniform(-1, 1, 3), radius * rng.uniform(0.85, 1.15)
            mask[sum((axis - c) ** 2 for axis, c in zip(axes, at, strict=True)) <= reach**2] = 1
    return {f"reader_{i}": sitk.GetImageFromArray(mask) for i, mask in enumerate(masks)}


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Call a function; return its result and the seconds it took."""
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def main() -> None:
    """Print one row for each number of lesions."""
    print(f"{N_READERS} readers, {' x '.join(map(str, SHAPE))} voxels (zyx)")
    print("lesions  iterations  SimpleITK s  ours s  ratio  differing voxels")
    for n_lesions in (1, 3, 30):
        masks = outline_lesions(n_lesions)
        consensus, ours = timed(staple, masks)
        truth, theirs = timed(sitk.STAPLE, list(masks.values()), 1)
        differing = sitk.GetArrayFromImage((truth > 0.5) != consensus.mask).sum()
        print(
            f"{n_lesions:7}  {consensus.iterations:10}  {theirs:11.2f}  {ours:6.3f}  "
            f"{theirs / ours:5.0f}  {differing:16}"
        )


if __name__ == "__main__":
    main()
