"""Screening of cohorts that grow: seconds and memory.

Run `python benchmarks/screening.py`; it writes 500 small scans with two readers' masks and organ
masks into a temporary folder (200 MB) and takes a few minutes. With `--against CHECKOUT` every row
is measured with the code of another checkout too, right after this one's, and their ratio is told.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from coala_kedro.datasets import HospitalVolumesDataset, RecordFolderDataset, VolumeFolderDataset
from coala_kedro.organs import ExistingMasks
from coala_kedro.pipelines.preprocessing.checks import Screening
from coala_kedro.pipelines.preprocessing.intake import accept_scans, inspect_scans

SIZES = (125, 250, 500)
SHAPE, SPACING_MM = (20, 104, 104), (2.0, 2.0, 5.0)


def write_cohort(root: Path, n_scans: int) -> None:
    """Write scans, masks of two readers and organ masks; every scan has noise of its own."""
    scans = {f"scan_{n:03d}": n for n in range(n_scans)}
    for folder in ("scans", "organs", "readers/reader_1", "readers/reader_2"):
        recipes = {scan_id: partial(_volume, folder, n) for scan_id, n in scans.items()}
        VolumeFolderDataset(path=str(root / folder), n_jobs=-1).save(recipes)


def _volume(folder: str, seed: int) -> sitk.Image:
    voxels = np.zeros(SHAPE, np.int16)
    voxels[5:15, 30:70, 20:60] = 5 if folder == "organs" else 1
    if folder == "scans":
        noise = np.random.default_rng(seed).integers(-20, 20, SHAPE, np.int16)
        voxels = np.where(np.indices(SHAPE)[2] < 90, 50 + noise, -1000).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(SPACING_MM)
    return image


def screen(root: Path, n_scans: int, n_jobs: int) -> None:
    """Screen the first scans of the cohort; print seconds and peak memory."""
    table = pd.DataFrame({"scan_id": [f"scan_{n:03d}" for n in range(n_scans)]})
    table = table.assign(
        patient_id=table["scan_id"], timepoint="pre", role="manual", acquired_on="2020-01-01"
    )
    scans = HospitalVolumesDataset(path=str(root / "scans")).load()
    scans = {scan_id: scans[scan_id] for scan_id in table["scan_id"]}
    masks = HospitalVolumesDataset(
        path=str(root / "readers"), pattern="{reader}/{scan_id}.nii.gz"
    ).load()
    masks = {key: mask for key, mask in masks.items() if key.split("/")[1] in scans}
    organs = ExistingMasks(path=str(root / "organs"))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        inspected = RecordFolderDataset(path=f"{folder}/inspected", n_jobs=n_jobs)
        inspected.save(inspect_scans(table, scans, masks, organs, "internal"))
        usable, findings = accept_scans(
            table, scans, masks, inspected.load(), "internal", Screening()
        )
    seconds = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n_scans:5}  {n_jobs:4}  {len(usable):6}  {len(findings):8}  {seconds:7.1f}  "
        f"{1000 * seconds / n_scans:12.1f}  {peak_mb:7.0f}"
    )


def measured(source: Path, folder: str, n_scans: int, n_jobs: int) -> float:
    """Screen in a process of its own with the code of a checkout; print its row, return its ms."""
    command = [sys.executable, __file__, "--screen", folder, str(n_scans), str(n_jobs)]
    environment = os.environ | {"PYTHONPATH": str(source / "src")}
    row = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )
    line = row.stdout.splitlines()[-1]
    print(f"{line}  {source}", flush=True)
    return float(line.split()[-2])


def main() -> None:
    """Print a row for each size of cohort and number of jobs, each in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--screen", nargs=3, metavar=("FOLDER", "SCANS", "JOBS"))
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    asked = parser.parse_args()
    if asked.screen:
        screen(Path(asked.screen[0]), int(asked.screen[1]), int(asked.screen[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_cohort(Path(folder), max(SIZES))
        print("scans  jobs  usable  findings  seconds  ms per scan  peak MB", flush=True)
        for n_scans, n_jobs in [(n, 2) for n in SIZES] + [(max(SIZES), 1)]:
            ours = measured(Path(__file__).parents[1], folder, n_scans, n_jobs)
            if asked.against:
                ratio = ours / measured(asked.against.absolute(), folder, n_scans, n_jobs)
                print(f"{ratio:.2f} times as long")


if __name__ == "__main__":
    main()
