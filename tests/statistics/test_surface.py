import numpy as np
import pytest
from mask_pairs import mask_pair
from scipy import ndimage
from scipy.spatial.distance import cdist

from coala_kedro.statistics.overlap import score_scan, surface_voxels

SEEDS = [seed for seed in range(12) if all(mask.any() for mask in mask_pair(seed)[:2])]


def surface_of(mask):
    """MONAI's: what an erosion takes away, with nothing beyond the volume's ends."""
    return np.argwhere(mask ^ ndimage.binary_erosion(mask))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_surface_is_what_an_erosion_takes_away(seed):
    for mask in mask_pair(seed)[:2]:
        np.testing.assert_array_equal(surface_voxels(mask), surface_of(mask))


@pytest.mark.parametrize("seed", SEEDS)
def test_distances_are_the_least_of_all_pairs(seed):
    first, second, spacing = mask_pair(seed)
    all_mm = cdist(*(surface_of(mask) * spacing for mask in (first, second)))
    there, back = all_mm.min(axis=1), all_mm.min(axis=0)
    scores = score_scan(first, second, spacing)
    assert scores["assd_mm"] == pytest.approx(np.mean([*there, *back]))
    assert scores["hd95_mm"] == pytest.approx(max(np.percentile(d, 95) for d in (there, back)))
    assert scores["nsd_2mm"] == np.mean(np.array([*there, *back]) <= 2 + 1e-5)


def test_the_end_of_the_volume_is_surface_unless_told_otherwise():
    full = np.ones((3, 3, 3), dtype=bool)
    assert len(surface_voxels(full)) == 26
    assert len(surface_voxels(full, ends_are_surface=False)) == 0


def test_the_larger_direction_decides_hd95_and_every_voxel_counts_in_assd():
    # The model has the consensus' voxel, and another 4 mm away.
    reference, predicted = np.zeros((2, 1, 1, 5), dtype=bool)
    reference[..., 0] = predicted[..., 0] = predicted[..., 4] = True
    scores = score_scan(reference, predicted, (1.0, 1.0, 1.0))
    assert scores["hd95_mm"] == pytest.approx(0.95 * 4)
    assert scores["assd_mm"] == pytest.approx(4 / 3)
    assert scores["nsd_3mm"] == pytest.approx(2 / 3)


def test_a_distance_of_just_the_tolerance_is_within_it_however_a_header_rounds():
    spacing_mm = float(np.float32(0.6))
    assert 5 * spacing_mm > 3
    reference, predicted = np.zeros((2, 1, 1, 6), dtype=bool)
    reference[..., 0] = predicted[..., 5] = True
    scores = score_scan(reference, predicted, (1.0, 1.0, spacing_mm))
    assert scores["nsd_3mm"] == 1
    assert scores["nsd_2mm"] == 0
