"""Peak memory of phantom and preprocessing for cohorts of different size: it must not grow.

    python benchmarks/memory.py

Each size runs in a process of its own; scans have a million voxels.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

PROJECT = Path(__file__).parents[1]
SIZE_VOXELS, SPACING_MM = [128, 96, 80], [2.7, 2.8, 2.7]


def run(n_pairs: int, folder: str) -> None:
    """Make and preprocess a hospital with `n_pairs` patients of two scans."""
    bootstrap_project(PROJECT)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    scanner = {"size_voxels": SIZE_VOXELS, "spacing_mm": SPACING_MM}
    patients = {role: {"scanned_pre_and_post": 0} for role in ("unlabelled", "test")}
    hospital = {
        "scanner": scanner,
        "patients": patients | {"manual": {"scanned_pre_and_post": n_pairs}},
    }
    one = {"patients": {"test": {"scanned_pre_and_post": 1, "scanned_pre_only": 0}}}
    parameters = {
        "raw": f"{folder}/raw",
        "data": f"{folder}/data",
        "phantom": {"internal": hospital, "external": one},
    }
    with KedroSession.create(PROJECT, env="demo", runtime_params=parameters) as session:
        session.run(pipeline_names=["phantom", "preprocessing"])


def peak_mib(n_pairs: int) -> float:
    """Peak resident memory of a run in its own process, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, __file__, json.dumps([n_pairs, folder])]
        child = os.posix_spawn(sys.executable, arguments, os.environ)
        _, status, usage = os.wait4(child, 0)
        if status:
            raise SystemExit(f"The run with {n_pairs} pairs failed.")
        return usage.ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(*json.loads(sys.argv[1]))
    else:
        peaks = {2 * n: peak_mib(n) for n in (2, 8)}
        for n_scans, peak in peaks.items():
            print(f"{n_scans:3d} scans  {peak:6.0f} MiB")
        few, many = peaks.values()
        print(f"ratio      {many / few:.2f}")
