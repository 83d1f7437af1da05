"""All metrics of a scan and its lesions beside panoptica and surface-distance, on full-size masks.

    python benchmarks/metrics.py [--oracle-python PATH]

Panoptica and surface-distance pin old packages, so they live in an environment of their own
(`pip install panoptica==2.1.7 surface-distance==0.1`), whose Python is given. Takes a minute.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edt
import numpy as np
import pandas as pd

from coala_kedro.imaging.lesions import union_box
from coala_kedro.statistics.free_response import candidates
from coala_kedro.statistics.lesion_matching import score_lesions
from coala_kedro.statistics.overlap import score_scan

SHAPE, SPACING_ZYX_MM = (200, 512, 512), (1.5, 0.75, 0.75)
LIVER = ((60, 220), (100, 290), (70, 250))
"""Where lesions have their centres, mm."""


def outline_lesions(n_lesions: int) -> dict[str, Any]:
    """A consensus, a model that misses, shifts and invents, the liver around, and the scan."""
    rng = np.random.default_rng(n_lesions)
    reference, predicted, liver = np.zeros((3, *SHAPE), dtype=bool)
    _draw(liver, np.mean(LIVER, axis=1), 90)
    for n in range(n_lesions):
        centre, radius_mm = rng.uniform(*np.transpose(LIVER)), rng.uniform(4, 16)
        if n % 10:
            _draw(predicted, centre + rng.uniform(-2, 2, 3), radius_mm * rng.uniform(0.85, 1.15))
        if n % 10 != 1:
            _draw(reference, centre, radius_mm)
    scan_hu = np.where(liver, 110, -50) + rng.integers(-20, 20, SHAPE)
    scan_hu[reference] -= 40
    return {
        "reference": reference,
        "predicted": predicted,
        "liver": liver & ~reference,
        "scan_hu": scan_hu.astype(np.int16),
        "votes": (predicted * np.uint8(4)) + reference,
    }


def _draw(mask: np.ndarray, centre_mm: np.ndarray, radius_mm: float) -> None:
    box = tuple(
        slice(max(int((at - radius_mm) / step), 0), int((at + radius_mm) / step) + 2)
        for at, step in zip(centre_mm, SPACING_ZYX_MM, strict=True)
    )
    offsets = [
        (np.arange(size)[part] * step - at) ** 2
        for size, part, step, at in zip(SHAPE, box, SPACING_ZYX_MM, centre_mm, strict=True)
    ]
    z, y, x = np.ix_(*offsets)
    mask[box] |= z + y + x <= radius_mm**2


def timed(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """Call a function; return its result and the seconds that the quickest of three calls took."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def dice_and_one_transform(reference: np.ndarray, predicted: np.ndarray) -> None:
    """A plain Dice, and one distance transform of what both masks span: the least one could do."""
    _ = 2 * np.count_nonzero(reference & predicted) / (reference.sum() + predicted.sum())
    outside = np.ascontiguousarray(~reference[union_box(reference, predicted)])
    edt.edt(outside, anisotropy=SPACING_ZYX_MM)


def ours(masks: dict[str, Any]) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """All metrics of the scan, of its lesions, and how sure the folds are of each."""
    reference, predicted = masks["reference"], masks["predicted"]
    around = {"liver": masks["liver"], "scan_hu": masks["scan_hu"]}
    return (
        score_scan(reference, predicted, SPACING_ZYX_MM),
        score_lesions(reference, predicted, SPACING_ZYX_MM, **around),
        candidates(reference, predicted, masks["votes"], n_folds=5),
    )


def theirs(python: str, masks: dict[str, Any]) -> dict[str, Any]:
    """What panoptica and surface-distance find in the same masks, and how long each takes."""
    with tempfile.TemporaryDirectory() as folder:
        pair = {side: masks[side] for side in ("reference", "predicted")}
        np.savez_compressed(f"{folder}/pair.npz", spacing_zyx_mm=SPACING_ZYX_MM, **pair)
        script = Path(__file__).with_name("metrics_oracle.py")
        command = [python, str(script), f"{folder}/pair.npz"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the times and findings for few and for many lesions."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--oracle-python", metavar="PATH")
    oracle_python = parser.parse_args().oracle_python
    print(f"{' x '.join(map(str, SHAPE))} voxels (zyx) of {SPACING_ZYX_MM} mm")
    for n_lesions in (3, 10, 30):
        masks = outline_lesions(n_lesions)
        (scan, lesions, _), seconds = timed(ours, masks)
        _, least = timed(dice_and_one_transform, masks["reference"], masks["predicted"])
        status = lesions["status"].value_counts()
        found = ", ".join(f"{count} {name}" for name, count in status.items())
        print(f"\n{n_lesions} lesions: {found}; HD95 {scan['hd95_mm']:.2f} mm")
        print(f"  ours, all metrics                       {seconds:7.2f} s")
        print(f"  Dice and one cropped distance transform {least:7.2f} s  {seconds / least:.2f}")
        if oracle_python:
            report = theirs(oracle_python, masks)
            panoptica_s = report.pop("panoptica_s")
            surface_distance_s = report.pop("surface_distance_s")
            both = panoptica_s + surface_distance_s
            print(f"  panoptica                               {panoptica_s:7.2f} s")
            print(f"  surface-distance                        {surface_distance_s:7.2f} s")
            print(f"  ours / both                             {seconds / both:7.3f}")
            print(f"  they find: {report}")


if __name__ == "__main__":
    main()
