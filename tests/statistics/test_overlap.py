import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coala_kedro.statistics.overlap import (
    dice,
    pooled_dice,
    score_scan,
    volume_ml,
    voxel_volume_ml,
)

MASKS = arrays(bool, (2, 3, 4))


def cube(start, stop):
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[start:stop, start:stop, start:stop] = True
    return mask


@pytest.mark.parametrize("seed", range(4))
def test_dice_is_simpleitks(seed):
    rng = np.random.default_rng(seed)
    reference, predicted = rng.random((2, 5, 7, 6)) < 0.3
    oracle = SimpleITK.LabelOverlapMeasuresImageFilter()
    oracle.Execute(
        *(SimpleITK.GetImageFromArray(m.astype(np.uint8)) for m in (reference, predicted))
    )
    assert dice(reference, predicted) == pytest.approx(oracle.GetDiceCoefficient(1))


def test_two_empty_masks_have_no_dice():
    assert np.isnan(dice(cube(0, 0), cube(0, 0)))


@pytest.mark.parametrize(
    ("reference", "predicted"), [(cube(0, 2), cube(0, 0)), (cube(0, 0), cube(0, 2))]
)
def test_a_missed_and_an_invented_lesion_score_zero(reference, predicted):
    assert dice(reference, predicted) == 0


@given(MASKS, MASKS)
def test_dice_is_symmetric_and_between_0_and_1(reference, predicted):
    value = dice(reference, predicted)
    assert np.isnan(value) or 0 <= value <= 1
    np.testing.assert_equal(dice(predicted, reference), value)


@given(MASKS.filter(np.any))
def test_a_mask_has_dice_1_with_itself(mask):
    assert dice(mask, mask) == 1


def test_a_label_map_is_refused_as_a_mask():
    with pytest.raises(TypeError, match="boolean"):
        dice(cube(0, 2).astype(np.uint8), cube(0, 2))


def test_masks_on_different_grids_are_refused():
    with pytest.raises(ValueError, match=r"\(6, 6, 6\).*\(1, 6, 6\)"):
        dice(cube(0, 2), cube(0, 2)[:1])


def test_pooled_dice_weighs_scans_by_their_voxels():
    # Dice 2*90/200 = 0.9 and 2*0/20 = 0: the mean is 0.45, pooled 180/220.
    assert pooled_dice([100, 10], [100, 10], [90, 0]) == pytest.approx(180 / 220)


def test_pooled_dice_of_no_lesion_at_all_is_not_defined():
    assert np.isnan(pooled_dice([0, 0], [0, 0], [0, 0]))


def test_volume_is_voxels_times_edges_in_millilitres():
    voxel_ml = voxel_volume_ml((5.0, 0.5, 0.8))
    assert voxel_ml == pytest.approx(0.002)
    assert volume_ml(cube(0, 5), voxel_ml) == pytest.approx(0.25)


def test_a_scan_is_scored_in_voxels_and_millilitres():
    assert score_scan(cube(0, 2), cube(1, 4), voxel_ml=0.5) == pytest.approx(
        {
            "dice": 2 * 1 / (8 + 27),
            "reference_ml": 4.0,
            "predicted_ml": 13.5,
            "reference_voxels": 8,
            "predicted_voxels": 27,
            "intersection_voxels": 1,
        }
    )


@given(st.floats(0.001, 1))
def test_volume_scales_with_the_voxel_while_dice_does_not(voxel_ml):
    once, twice = (score_scan(cube(0, 3), cube(1, 4), ml) for ml in (voxel_ml, 2 * voxel_ml))
    assert twice["predicted_ml"] == pytest.approx(2 * once["predicted_ml"])
    assert twice["dice"] == once["dice"]
