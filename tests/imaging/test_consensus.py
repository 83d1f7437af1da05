import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from coala_kedro.imaging.consensus import count_votes, estimate_truth, majority_vote, staple

SHAPE = (8, 20, 20)


def to_image(array):
    return sitk.GetImageFromArray(np.asarray(array, dtype=np.uint8))


def to_array(consensus):
    return sitk.GetArrayFromImage(consensus.mask)


def ball(centre, radius):
    axes = np.ogrid[tuple(slice(size) for size in SHAPE)]
    return sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)) <= radius**2


def outline(seed, n_readers, n_lesions):
    """Readers who see most of the same lesions, each with their own border, and a few of none."""
    rng = np.random.default_rng(seed)
    lesions = [(rng.uniform(0, SHAPE), rng.uniform(1, 4)) for _ in range(n_lesions)]
    masks = {}
    for reader in range(n_readers):
        mask = rng.random(SHAPE) < 0.002
        for centre, radius in lesions:
            if rng.random() < 0.9:
                mask |= ball(centre + rng.uniform(-0.7, 0.7, 3), radius * rng.uniform(0.8, 1.2))
        masks[f"reader_{reader}"] = to_image(mask)
    return masks


scans = st.builds(outline, st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 8))
one_small_lesion = st.builds(outline, st.integers(0, 2**32), st.integers(3, 4), st.just(1))
a_few = settings(max_examples=8)


@pytest.mark.slow
@settings(max_examples=15)
@given(scans | one_small_lesion)
def test_staple_is_simpleitks(masks):
    oracle = sitk.STAPLEImageFilter()
    oracle.SetForegroundValue(1)
    expected = sitk.GetArrayFromImage(oracle.Execute(list(masks.values())))

    patterns = count_votes(masks)
    probability, iterations = estimate_truth(patterns)
    consensus = staple(masks)

    np.testing.assert_allclose(patterns.paint(probability), expected, rtol=0, atol=1e-6)
    assert iterations == consensus.iterations == oracle.GetElapsedIterations()
    decided = np.abs(expected - 0.5) > 1e-9  # at one half ITK follows its rounding
    np.testing.assert_array_equal(to_array(consensus)[decided], (expected > 0.5)[decided])
    assert list(consensus.sensitivity.values()) == pytest.approx(oracle.GetSensitivity(), abs=1e-6)
    assert list(consensus.specificity.values()) == pytest.approx(oracle.GetSpecificity(), abs=1e-6)


def test_a_scan_of_many_slices_has_no_differing_voxel():
    rng = np.random.default_rng(4)
    truth = ball((4, 10, 10), 5)
    masks = {
        name: to_image(np.tile(truth ^ (rng.random(SHAPE) < rate), (5, 4, 4)))
        for name, rate in (("a", 0.02), ("b", 0.05), ("c", 0.1))
    }
    expected = sitk.GetArrayFromImage(sitk.STAPLE(list(masks.values()), 1)) > 0.5
    assert (to_array(staple(masks)) != expected).sum() == 0


@a_few
@given(scans, st.randoms())
@pytest.mark.parametrize("merge", [staple, majority_vote])
def test_neither_the_order_nor_the_names_of_readers_matter(merge, masks, random):
    names = sorted(masks)
    random.shuffle(names)
    consensus = merge(masks)
    reordered = merge({name: masks[name] for name in names})
    renamed = merge(dict(zip(names, masks.values(), strict=True)))
    np.testing.assert_array_equal(to_array(reordered), to_array(consensus))
    np.testing.assert_array_equal(to_array(renamed), to_array(consensus))
    np.testing.assert_equal(dict(reordered.sensitivity), dict(consensus.sensitivity))
    for name, old_name in zip(names, masks, strict=True):
        assert renamed.specificity[name] == pytest.approx(
            consensus.specificity[old_name], nan_ok=True
        )


@a_few
@given(scans)
@pytest.mark.parametrize("merge", [staple, majority_vote])
def test_a_consensus_lies_between_intersection_and_union(merge, masks):
    votes = np.stack([sitk.GetArrayFromImage(mask) for mask in masks.values()])
    mask = to_array(merge(masks))
    assert (mask >= votes.min(axis=0)).all()
    assert (mask <= votes.max(axis=0)).all()


@a_few
@given(scans)
def test_a_majority_is_more_than_half(masks):
    votes = sum(sitk.GetArrayFromImage(mask).astype(int) for mask in masks.values())
    np.testing.assert_array_equal(to_array(majority_vote(masks)), votes > len(masks) / 2)


def test_rates_of_a_majority_are_counted_on_its_mask():
    masks = {
        "a": to_image([[[1, 1, 0, 0]]]),
        "b": to_image([[[1, 0, 0, 0]]]),
        "c": to_image([[[1, 1, 1, 0]]]),
    }
    consensus = majority_vote(masks)
    assert to_array(consensus).tolist() == [[[1, 1, 0, 0]]]
    assert consensus.sensitivity == {"a": 1.0, "b": 0.5, "c": 1.0}
    assert consensus.specificity == {"a": 1.0, "b": 1.0, "c": 0.5}
    assert (consensus.method, consensus.iterations) == ("majority_vote", 0)


@pytest.mark.parametrize("merge", [staple, majority_vote])
@pytest.mark.parametrize("n_readers", [1, 3])
@pytest.mark.parametrize(
    ("values", "sensitivity", "specificity"),
    [([0, 0, 0], math.nan, 1.0), ([1, 1, 1], 1.0, math.nan), ([0, 1, 1], 1.0, 1.0)],
)
def test_readers_who_agree_keep_their_mask(merge, n_readers, values, sensitivity, specificity):
    consensus = merge({f"reader_{i}": to_image([[values]]) for i in range(n_readers)})
    assert to_array(consensus).tolist() == [[values]]
    assert consensus.iterations == 0
    assert list(consensus.sensitivity.values()) == pytest.approx(
        [sensitivity] * n_readers, nan_ok=True
    )
    assert list(consensus.specificity.values()) == pytest.approx(
        [specificity] * n_readers, nan_ok=True
    )


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("merge", [staple, majority_vote])
@pytest.mark.parametrize("smaller", [0, 1.5, 2.5, 3])
def test_a_tie_of_two_readers_is_no_lesion(merge, smaller, swapped):
    # One holds the other: every margin voxel is at exactly one half.
    inner = ball((4, 10, 10), smaller) & (smaller > 0)
    names = ("b", "a") if swapped else ("a", "b")
    masks = dict(zip(names, (to_image(inner), to_image(ball((4, 10, 10), 4))), strict=True))
    np.testing.assert_array_equal(to_array(merge(masks)), inner)


def test_a_consensus_is_a_uint8_mask_on_the_readers_grid():
    masks = outline(1, 3, 2)
    for mask in masks.values():
        mask.SetSpacing([0.7, 0.7, 5.0])
        mask.SetOrigin([-170.0, -20.0, 700.0])
    consensus = staple(masks)
    assert consensus.mask.GetPixelID() == sitk.sitkUInt8
    assert consensus.mask.GetSpacing() == (0.7, 0.7, 5.0)
    assert consensus.mask.GetOrigin() == (-170.0, -20.0, 700.0)


def test_any_nonzero_label_is_lesion():
    masks = outline(2, 3, 3)
    consensus = staple(masks)
    masks["reader_1"] = masks["reader_1"] * 255
    masks["reader_2"] = sitk.Cast(masks["reader_2"], sitk.sitkFloat32) * 3
    np.testing.assert_array_equal(to_array(staple(masks)), to_array(consensus))


def test_nine_readers_need_more_than_a_byte_for_their_votes():
    masks = outline(3, 9, 3)
    expected = sitk.GetArrayFromImage(sitk.STAPLE(list(masks.values()), 1)) > 0.5
    assert count_votes(masks).code.dtype == np.uint16
    np.testing.assert_array_equal(to_array(staple(masks)), expected)


def test_masks_on_other_grids_are_named_with_what_differs():
    masks = outline(0, 4, 1)
    masks["reader_1"].SetSpacing([1.0, 1.0, 3.0])
    masks["reader_3"] = masks["reader_3"][:, :, 1:]
    with pytest.raises(ValueError, match="grid of reader 'reader_0'") as error:
        staple(masks)
    assert "- reader 'reader_1': spacing (1, 1, 3) instead of (1, 1, 1) mm\n" in str(error.value)
    assert "- reader 'reader_3': size (20, 20, 7) instead of (20, 20, 8) voxels; origin" in str(
        error.value
    )
    assert "'reader_2'" not in str(error.value)


def test_a_mask_with_a_fraction_is_refused_with_its_reader():
    masks = outline(0, 2, 1)
    masks["reader_1"] = sitk.Cast(masks["reader_1"], sitk.sitkFloat32) * 0.5
    with pytest.raises(ValueError, match=r"reader 'reader_1' holds 0\.5, which is no label"):
        majority_vote(masks)


@pytest.mark.parametrize("n_readers", [0, 17])
def test_no_readers_and_too_many_are_refused(n_readers):
    with pytest.raises(ValueError, match=f"{n_readers} readers' masks given: need 1 to 16"):
        count_votes({f"reader_{i}": to_image([[[1]]]) for i in range(n_readers)})
