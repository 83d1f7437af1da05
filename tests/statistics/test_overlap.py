import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coala_kedro.statistics.overlap import pooled_dice, score_scan, voxel_volume_ml

MASKS = arrays(bool, (2, 3, 4))
SPACINGS_ZYX_MM = st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5])] * 3)
SURFACES = ["nsd_1mm", "nsd_2mm", "nsd_3mm", "hd95_mm", "assd_mm"]


def dice(reference, predicted):
    return score_scan(reference, predicted, (1.0, 1.0, 1.0))["dice"]


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


def test_a_voxel_has_the_volume_of_its_edges_in_millilitres():
    assert voxel_volume_ml((5.0, 0.5, 0.8)) == pytest.approx(0.002)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 1.0, 0.0), (1.0, float("nan"), 1.0)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(ValueError, match="spacing of z, y and x"):
        score_scan(cube(0, 2), cube(0, 2), spacing)


def test_a_scan_is_scored_in_voxels_millilitres_and_millimetres():
    # Two blocks of 2 x 2 x 2 voxels, all of them surface, one voxel of 1 x 3 x 2 mm along z apart.
    # Half of each is in the other, the other half 1 mm away.
    reference, predicted = np.zeros((2, 6, 6, 6), dtype=bool)
    reference[1:3, 1:3, 1:3] = True
    predicted[2:4, 1:3, 1:3] = True
    scores = score_scan(reference, predicted, (1.0, 3.0, 2.0))
    assert scores == pytest.approx(
        {
            "dice": 0.5,
            "nsd_1mm": 1.0,
            "nsd_2mm": 1.0,
            "nsd_3mm": 1.0,
            "hd95_mm": 1.0,
            "assd_mm": 0.5,
            "reference_ml": 0.048,
            "predicted_ml": 0.048,
            "volume_error_ml": 0.0,
            "volume_error_percent": 0.0,
            "reference_voxels": 8,
            "predicted_voxels": 8,
            "intersection_voxels": 4,
            "note": "",
        }
    )
    assert list(scores)[:6] == ["dice", *SURFACES]


def test_volume_error_is_positive_where_the_model_finds_more():
    scores = score_scan(cube(0, 2), cube(0, 3), (10.0, 10.0, 10.0))
    assert scores["volume_error_ml"] == pytest.approx(19.0)


def test_nothing_in_either_mask_has_no_overlap_and_no_distance():
    scores = score_scan(cube(0, 0), cube(0, 0), (1.0, 1.0, 1.0))
    assert all(np.isnan(scores[name]) for name in ["dice", *SURFACES])
    assert [scores[f"{side}_ml"] for side in ("reference", "predicted", "volume_error")] == [0] * 3


@pytest.mark.parametrize(
    ("reference", "predicted"), [(cube(2, 3), cube(0, 0)), (cube(0, 0), cube(2, 3))]
)
def test_a_scan_with_one_mask_empty_has_the_worst_scores(reference, predicted):
    scores = score_scan(reference, predicted, (2.0, 1.0, 0.5))
    assert scores["dice"] == scores["nsd_1mm"] == scores["nsd_3mm"] == 0
    diagonal_mm = pytest.approx((12**2 + 6**2 + 3**2) ** 0.5)
    assert scores["hd95_mm"] == scores["assd_mm"] == diagonal_mm


@settings(max_examples=50)
@given(MASKS, MASKS, SPACINGS_ZYX_MM)
def test_changing_sides_changes_the_sign_of_the_volume_error_alone(reference, predicted, spacing):
    there, back = (
        score_scan(reference, predicted, spacing),
        score_scan(predicted, reference, spacing),
    )
    for name in ("dice", *SURFACES, "intersection_voxels"):
        assert there[name] == pytest.approx(back[name], nan_ok=True)
    assert there["volume_error_ml"] == -back["volume_error_ml"]


@settings(max_examples=50)
@given(MASKS, MASKS, SPACINGS_ZYX_MM, st.sampled_from([2, 3]))
def test_distances_grow_with_the_spacing_volumes_with_its_cube(reference, predicted, spacing, by):
    once = score_scan(reference, predicted, spacing)
    grown = score_scan(reference, predicted, tuple(by * step for step in spacing))
    for name, expected in (("dice", 1), ("hd95_mm", by), ("assd_mm", by), ("reference_ml", by**3)):
        assert grown[name] == pytest.approx(expected * once[name], nan_ok=True)
    assert grown[f"nsd_{by}mm"] == pytest.approx(once["nsd_1mm"], nan_ok=True)


@settings(max_examples=50)
@given(MASKS.filter(np.any), SPACINGS_ZYX_MM)
def test_a_mask_agrees_with_itself(mask, spacing):
    scores = score_scan(mask, mask, spacing)
    assert [scores[name] for name in ["dice", *SURFACES]] == [1, 1, 1, 1, 0, 0]


@settings(max_examples=50)
@given(MASKS.filter(np.any), MASKS.filter(np.any))
def test_empty_space_around_the_lesions_changes_nothing(reference, predicted):
    far = [np.pad(mask, ((3, 1), (0, 4), (2, 2))) for mask in (reference, predicted)]
    assert score_scan(*far, (1.0, 2.0, 3.0)) == score_scan(reference, predicted, (1.0, 2.0, 3.0))
