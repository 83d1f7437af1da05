"""Prediction of a folder of scans beside the stock chain, lowres and then cascade, five folds.

    python benchmarks/prediction.py [--model FOLDER] [--scans FOLDER] [--n 10] [--shape X Y Z]

By default the demo's student (`make demo` first) predicts scans of 256 x 256 x 120 voxels that are
made of the demo's external ones. Each run starts a Python of its own, as a user does; both chains
take turns. Told are wall seconds, peak memory of the largest process, and how far label maps agree.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from coala_kedro.anatomy import CRLM
from coala_kedro.datasets import LazyVolume, VolumeFolderDataset
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import LABEL_MAP, predictions
from coala_kedro.nnunet.model import TrainedModel, open_model

PROJECT = Path(__file__).parents[1]
STOCK = "from nnunetv2.inference.predict_from_raw_data import {0}; {0}()"
ENTRY = "predict_entry_point_modelfolder"
UNUSED = {f"nnUNet_{name}": "unused" for name in ("raw", "preprocessed", "results")}


def make_scans(source: Path, folder: Path, n: int, shape: list[int] | None) -> None:
    """Write scans as stock nnU-Net names them, resampled to `shape` (xyz) if one is given."""
    files = sorted(source.glob("*.nii.gz"))
    folder.mkdir()
    for k in range(n):
        scan = sitk.ReadImage(str(files[k % len(files)]), sitk.sitkFloat32)
        if shape:
            extent = zip(scan.GetSize(), scan.GetSpacing(), shape, strict=True)
            spacing = [voxels * mm / wanted for voxels, mm, wanted in extent]
            nothing = sitk.Transform()
            scan = sitk.Resample(
                scan, shape, nothing, sitk.sitkLinear, scan.GetOrigin(), spacing,
                scan.GetDirection(), -1000,
            )  # fmt: skip
        voxels = sitk.GetArrayFromImage(scan)
        voxels += np.random.default_rng(k).normal(0, 5, voxels.shape)
        made = sitk.GetImageFromArray(np.rint(voxels).astype(np.int16))
        made.CopyInformation(scan)
        sitk.WriteImage(made, str(folder / f"scan_{k:02d}_0000.nii.gz"))


def predict_ours(model: Path, scans: Path, output: Path) -> None:
    """Predict a folder as a node of the study does: two scans at a time, each on one thread."""
    found = {file.name[:7]: LazyVolume(str(file)) for file in sorted(scans.iterdir())}
    compute = Compute(device="cpu", processes=os.cpu_count() or 1, torch_threads=1)
    recipes = predictions(open_model(model), found, Inference(), compute)
    VolumeFolderDataset(path=str(output), n_jobs=compute.processes).save(recipes)


def run(*arguments: str) -> tuple[float, float]:
    """Wall seconds of a Python of its own, and its peak memory or its largest child's, GiB."""
    started = time.perf_counter()
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], "
        "stdout=subprocess.DEVNULL).returncode; "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, *arguments],
        check=True, stdout=subprocess.PIPE, encoding="utf-8", env=os.environ | UNUSED,
    )  # fmt: skip
    return time.perf_counter() - started, int(done.stdout) / 2**20


def run_ours(model: TrainedModel, scans: Path, output: Path) -> tuple[float, float]:
    """Predict with this project."""
    return run(__file__, "--ours", str(model.path), str(scans), str(output))


def run_stock(model: TrainedModel, scans: Path, output: Path) -> tuple[float, float]:
    """Predict with nnU-Net's commands alone."""
    seconds, peaks, earlier = 0.0, [], []
    for stage in ("lowres", "cascade"):
        folder = output / stage
        folder.mkdir(parents=True)
        command = [STOCK.format(ENTRY), "-i", str(scans), "-o", str(folder), "-f"]
        command += [str(fold) for fold in model.folds]
        command += ["-m", str(model.stage_folder(stage)), "-device", "cpu", *earlier]
        took, peak = run("-c", *command, "--disable_progress_bar")
        seconds, peaks = seconds + took, [*peaks, peak]
        earlier = ["-prev_stage_predictions", str(folder)]
    return seconds, max(peaks)


def compare(ours: Path, stock: Path) -> str:
    """How far the label maps of two folders agree, at the worst."""
    different, n_voxels, dice, ttv = 0, 0, 1.0, 0.0
    for file in sorted(stock.glob("*.nii.gz")):
        a, b = (sitk.GetArrayFromImage(sitk.ReadImage(str(f / file.name))) for f in (ours, stock))
        different, n_voxels = different + int((a != b).sum()), n_voxels + a.size
        both, one, other = ((a == CRLM) & (b == CRLM)).sum(), (a == CRLM).sum(), (b == CRLM).sum()
        if other:
            dice = min(dice, 2 * both / (one + other))
            ttv = max(ttv, abs(int(one) - int(other)) / other)
        elif one:
            dice = 0.0
    return (
        f"{different} of {n_voxels} voxels differ; least CRLM Dice {dice:.5f}, "
        f"largest difference of TTV {ttv:.3%}"
    )


def main() -> None:
    """Compare both chains, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", nargs=3, type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--model", type=Path, default=PROJECT / "data/06_models/student/Dataset001_CRLM"
    )
    parser.add_argument(
        "--scans", type=Path, default=PROJECT / "data/02_intermediate/external/scans"
    )
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--shape", nargs="*", type=int, default=[256, 256, 120])
    parser.add_argument("--repeat", type=int, default=1)
    asked = parser.parse_args()
    if asked.ours:
        predict_ours(*asked.ours)
        return
    model = open_model(asked.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scans(asked.scans, folder / "scans", asked.n, asked.shape)
        ratios = []
        for n in range(asked.repeat):
            taken = {}
            for chain in (run_ours, run_stock) if n % 2 else (run_stock, run_ours):
                taken[chain] = chain(model, folder / "scans", folder / f"{chain.__name__}_{n}")
            (ours, our_gib), (stock, stock_gib) = taken[run_ours], taken[run_stock]
            ratios.append(stock / ours)
            print(
                f"stock {stock:.1f} s, {stock_gib:.2f} GiB; ours {ours:.1f} s, {our_gib:.2f} GiB; "
                f"{stock / ours:.2f} times as fast"
            )
            made = folder / f"run_ours_{n}" / LABEL_MAP
            print(compare(made, folder / f"run_stock_{n}" / "cascade"), flush=True)
        middle = statistics.median(ratios)
        print(f"Ratio: median {middle:.2f}, from {min(ratios):.2f} to {max(ratios):.2f}.")


if __name__ == "__main__":
    main()
