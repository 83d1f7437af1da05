"""Scan and lesion metrics against MONAI, SimpleITK and panoptica, on 300 pairs of masks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from mask_pairs import mask_pair

from coala_kedro.statistics.lesion_matching import score_lesions
from coala_kedro.statistics.overlap import score_scan

pytestmark = pytest.mark.slow

N_PAIRS = 300


@pytest.fixture(scope="module")
def pairs():
    return [mask_pair(seed) for seed in range(N_PAIRS)]


@pytest.fixture(scope="module")
def filled(pairs):
    return [pair for pair in pairs if pair[0].any() and pair[1].any()]


def test_the_pairs_hold_what_is_hard(pairs):
    lesions = [score_lesions(*pair) for pair in pairs]
    own = [(rows["status"] != "false_positive").sum() for rows in lesions]
    assert max(own) > 20
    assert min(own) == 0
    assert sum((rows["diameter_mm"] > 10).sum() for rows in lesions) > 200
    voxels = [
        rows["volume_ml"] * 1000 / np.prod(p[2]) for rows, p in zip(lesions, pairs, strict=True)
    ]
    assert sum((v.round() == 1).sum() for v in voxels) > 200
    assert sum(not (r.any() and p.any()) for r, p, _ in pairs) >= 30


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:the (ground truth|prediction)")
def test_overlap_and_surfaces_are_monais(filled):
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    assert len(filled) >= 200
    for reference, predicted, spacing in filled:
        pair = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, reference)]
        options = {"include_background": True, "spacing": spacing}
        expected = {
            "dice": compute_dice(*pair),
            "assd_mm": compute_average_surface_distance(*pair, symmetric=True, **options),
        }
        for tolerance in (1, 2, 3):
            expected[f"nsd_{tolerance}mm"] = compute_surface_dice(*pair, [tolerance], **options)
        scores = score_scan(reference, predicted, spacing)
        for name, value in expected.items():
            assert scores[name] == pytest.approx(value.item(), rel=1e-6, abs=1e-6), name
        # MONAI interpolates the percentile in single precision.
        hd95_mm = compute_hausdorff_distance(*pair, percentile=95, **options).item()
        assert scores["hd95_mm"] == pytest.approx(hd95_mm, rel=1e-5, abs=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hd95_is_the_percentile_of_monais_distances(filled):
    import torch
    from monai.metrics.utils import get_edge_surface_distance

    for reference, predicted, spacing in filled:
        pair = [torch.from_numpy(mask).float() for mask in (predicted, reference)]
        _, distances, _ = get_edge_surface_distance(*pair, spacing=spacing, symmetric=True)
        percentiles = [np.percentile(d.numpy().astype(float), 95) for d in distances]
        scores = score_scan(reference, predicted, spacing)
        assert scores["hd95_mm"] == pytest.approx(max(percentiles), rel=1e-6)


def contour_and_distances(mask, spacing):
    """SimpleITK's contour of a mask, and every voxel's distance from it in mm, zyx."""
    image = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    contour = sitk.BinaryContour(image, fullyConnected=False)
    distances = sitk.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True)
    return (
        sitk.GetArrayFromImage(contour) > 0,
        np.maximum(sitk.GetArrayFromImage(distances).astype(float), 0),
    )


def test_overlap_and_surfaces_are_simpleitks(filled):
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    for reference, predicted, spacing in filled:
        overlap.Execute(
            *(sitk.GetImageFromArray(m.astype(np.uint8)) for m in (reference, predicted))
        )
        (here, from_here), (there, from_there) = (
            contour_and_distances(mask, spacing) for mask in (reference, predicted)
        )
        distances = from_there[here], from_here[there]
        both = np.concatenate(distances)
        expected = {
            "dice": overlap.GetDiceCoefficient(1),
            "hd95_mm": max(np.percentile(d, 95) for d in distances),
            "assd_mm": both.mean(),
            **{f"nsd_{t}mm": np.mean(both <= t + 1e-5) for t in (1, 2, 3)},
        }
        scores = score_scan(reference, predicted, spacing)
        for name, value in expected.items():
            assert scores[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name


@pytest.fixture(scope="module")
def panoptica_python(tmp_path_factory):
    """A Python that has panoptica, which pins packages older than ours."""
    if given := os.environ.get("COALA_PANOPTICA_PYTHON"):
        return given
    folder = tmp_path_factory.mktemp("panoptica")
    python = folder / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "panoptica==2.1.7"], check=True)
    return python


def test_lesions_found_missed_and_invented_are_panopticas(pairs, panoptica_python, tmp_path):
    masks = {}
    for n, (reference, predicted, _) in enumerate(pairs):
        masks |= {f"reference_{n}": reference, f"predicted_{n}": predicted}
    np.savez(tmp_path / "pairs.npz", **masks)
    script = Path(__file__).with_name("panoptica_counts.py")
    counts_path = tmp_path / "counts.json"
    subprocess.run([panoptica_python, script, tmp_path / "pairs.npz", counts_path], check=True)
    expected = json.loads(counts_path.read_text())
    for n, (pair, counts) in enumerate(zip(pairs, expected, strict=True)):
        status = score_lesions(*pair)["status"].tolist()
        assert [status.count(s) for s in ("hit", "false_positive", "miss")] == counts, n
