"""What is trained here predicts the same with nnU-Net alone."""

import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.datasets import LazyVolume, TrainedModelDataset
from coala_kedro.nnunet import inference
from coala_kedro.nnunet.process import in_own_process

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

SCANS = {
    "internal": ("INT007_pre", "INT007_post"),
    "external": ("EXT001_pre", "EXT001_post", "EXT002_pre"),
}
STOCK = """
import sys
from pathlib import Path
sys.path = [path for path in sys.path if not (Path(path) / "coala_kedro").exists()]
try:
    import coala_kedro
except ModuleNotFoundError:
    pass
else:
    sys.exit("coala_kedro is still there")
from nnunetv2.inference.predict_from_raw_data import predict_entry_point
predict_entry_point()
assert not any(name.startswith("coala_kedro") for name in sys.modules)
"""


def predict_with_stock_nnunet(study, configuration, output, *arguments):
    """`nnUNetv2_predict` with the student, in a Python that cannot import this project."""
    output.mkdir()
    folders = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "preprocessed"}
    environment = {name: str(output.parent / path) for name, path in folders.items()} | {
        "nnUNet_results": str(study.data / "06_models" / "student"),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    step = str(study.inference.tile_step_size)
    command = [sys.executable, "-I", "-c", STOCK, "-i", str(output.parent / "scans")]
    command += ["-o", str(output), "-d", "1", "-c", configuration, "-f", "0", "1", "2", "3", "4"]
    command += ["-step_size", step, "--disable_tta", "-device", "cpu", "-npp", "0", "-nps", "0"]
    done = subprocess.run(
        [*command, *arguments],
        env=os.environ | environment,
        cwd=output,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return voxels_of(output)


def predict_both_stages(model, scans, settings, compute):
    """Label maps of lowres and cascade as `predict_scan` makes them; runs in nnU-Net's process."""
    results = {}
    for scan_id, scan in scans.items():
        stages, one_stage = [], inference._segment

        def watched(*args, stages=stages, one_stage=one_stage, **kwargs):
            label_map, votes = one_stage(*args, **kwargs)
            stages.append(label_map)
            return label_map, votes

        with mock.patch.object(inference, "_segment", watched):
            final = inference.predict_cascade(model, scan, settings, compute)["label_maps"]
        assert np.array_equal(stages[1], sitk.GetArrayFromImage(final))
        results[scan_id] = [np.asarray(label_map) for label_map in stages]
    return results


def assert_same(label_map, stock, scan_id):
    """But for a voxel or two where labels are tied: the fifth decimal of a logit decides."""
    assert label_map.shape == stock.shape
    different = np.count_nonzero(label_map != stock)
    assert different <= 2, f"{scan_id}: {different} of {label_map.size}"


def voxels_of(folder):
    return {
        path.name.removesuffix(".nii.gz"): sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        for path in folder.glob("*.nii.gz")
    }


@pytest.fixture(scope="module")
def scans(miniature):
    raw = miniature.data / "01_raw"
    return {
        scan_id: LazyVolume(str(raw / cohort / "scans" / f"{scan_id}.nii.gz"))
        for cohort, scan_ids in SCANS.items()
        for scan_id in scan_ids
    }


@pytest.fixture(scope="module")
def stock(miniature, scans, tmp_path_factory):
    """Stock label maps of both stages, each cascade on the stock lowres stage."""
    folder = tmp_path_factory.mktemp("stock")
    (folder / "scans").mkdir()
    for scan_id, scan in scans.items():
        (folder / "scans" / f"{scan_id}_0000.nii.gz").symlink_to(scan.path)
    lowres = predict_with_stock_nnunet(miniature, "3d_lowres", folder / "lowres")
    earlier = ["-prev_stage_predictions", str(folder / "lowres")]
    cascade = predict_with_stock_nnunet(
        miniature, "3d_cascade_fullres", folder / "cascade", *earlier
    )
    return lowres, cascade


def test_stock_nnunet_predicts_what_the_study_saved(miniature, stock):
    _, cascade = stock
    saved = {}
    for cohort in SCANS:
        saved |= voxels_of(miniature.data / "07_model_output" / f"student_{cohort}" / "label_maps")
    assert (
        sorted(cascade) == sorted(saved) == sorted(scan for ids in SCANS.values() for scan in ids)
    )
    for scan_id, label_map in saved.items():
        assert_same(label_map, cascade[scan_id], scan_id)
        # A label map of background alone would agree with anything.
        assert (label_map > 0).sum() > 1000


def test_both_stages_are_those_of_stock_nnunet(miniature, scans, stock):
    lowres, cascade = stock
    model = TrainedModelDataset(
        path=str(miniature.data / "06_models" / "student" / "Dataset001_CRLM")
    ).load()
    compute = miniature.compute
    ours = in_own_process(
        compute, True, predict_both_stages, model, scans, miniature.inference, compute
    )
    for scan_id in scans:
        for made, expected in zip(ours[scan_id], (lowres, cascade), strict=True):
            assert_same(made, expected[scan_id], scan_id)
        assert not np.array_equal(*ours[scan_id]), "the stages cannot be told apart"
