"""The part of `benchmarks/metrics.py` that runs in an environment with panoptica.

    python benchmarks/metrics_oracle.py PAIR.npz

Prints the seconds of each library and what it found, as JSON on the last line.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import surface_distance
from panoptica import (
    ConnectedComponentsInstanceApproximator,
    InputType,
    NaiveThresholdMatching,
    Panoptica_Evaluator,
)
from panoptica.metrics import Metric
from panoptica.utils.constants import CCABackend


def main(path: str) -> None:
    """Time panoptica, and surface-distance, on a pair of masks."""
    with np.load(path) as pair:
        reference, predicted = pair["reference"], pair["predicted"]
        spacing_zyx_mm = tuple(pair["spacing_zyx_mm"].tolist())
    distances = [Metric.HD95, Metric.NSD, Metric.ASSD]
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(CCABackend.cc3d),
        instance_matcher=NaiveThresholdMatching(Metric.IOU, matching_threshold=0.1),
        instance_metrics=[Metric.DSC, *distances],
        global_metrics=[Metric.DSC, *distances],
    )
    labels = [mask.astype(np.uint8) for mask in (predicted, reference)]
    start = time.perf_counter()
    found = evaluator.evaluate(*labels, voxelspacing=spacing_zyx_mm)["ungrouped"]
    panoptica_s = time.perf_counter() - start
    start = time.perf_counter()
    surfaces = surface_distance.compute_surface_distances(reference, predicted, spacing_zyx_mm)
    hd95_mm = surface_distance.compute_robust_hausdorff(surfaces, 95)
    for tolerance_mm in (1, 2, 3):
        surface_distance.compute_surface_dice_at_tolerance(surfaces, tolerance_mm)
    surface_distance.compute_average_surface_distance(surfaces)
    surface_distance_s = time.perf_counter() - start
    report = {
        "panoptica_s": panoptica_s,
        "surface_distance_s": surface_distance_s,
        "hits": int(found.tp),
        "misses": int(found.fn),
        "false positives": int(found.fp),
        "HD95 by area, mm": float(hd95_mm),
    }
    print("\n" + json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
