"""Run by a Python that has panoptica: hits, false positives and misses of pairs of masks.

    python panoptica_counts.py PAIRS.npz COUNTS.json

The file holds `reference_<n>` and `predicted_<n>`; the counts are a list of [tp, fp, fn].
"""

import json
import sys
from pathlib import Path

import numpy as np
from panoptica import (
    ConnectedComponentsInstanceApproximator,
    InputType,
    NaiveThresholdMatching,
    Panoptica_Evaluator,
)
from panoptica.metrics import Metric
from panoptica.utils.constants import CCABackend


def main(path, counts_path):
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(CCABackend.cc3d),
        instance_matcher=NaiveThresholdMatching(Metric.IOU, matching_threshold=0.1),
        instance_metrics=[Metric.DSC],
        global_metrics=[],
    )
    counts = []
    with np.load(path) as masks:
        for n in range(len(masks.files) // 2):
            pair = (masks[f"{side}_{n}"].astype(np.uint8) for side in ("predicted", "reference"))
            result = evaluator.evaluate(*pair, result_all=False)["ungrouped"]
            counts.append([int(result.tp), int(result.fp), int(result.fn)])
    Path(counts_path).write_text(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
