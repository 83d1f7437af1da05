import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from pydantic import ValidationError

from coala_kedro.anatomy import ORGANS
from coala_kedro.imaging.phantom import Metastases, Reader, Scanner, draw_patient, read, sample

SEEDS = range(1, 41)


@pytest.fixture(scope="module")
def scanner():
    return Scanner(
        size_voxels=(56, 48, 32),
        spacing_mm=(5.8, 5.8, 6.4),
        noise_hu=8,
        blur_mm=2.5,
        enhancement=1.0,
    )


@pytest.fixture(scope="module")
def metastases():
    return Metastases(
        count=(2, 5),
        radius_mm=(13, 32),
        contrast_hu=(60, 90),
        edge_mm=(2, 8),
        shrinkage=(0.7, 0.9),
    )


@pytest.fixture(scope="module")
def phantoms(scanner, metastases):
    return [sample(draw_patient(seed, "pre", metastases), scanner, seed) for seed in range(1, 4)]


def reader(**changes):
    usual = {
        "bias_mm": 0.0,
        "wobble_mm": 1.0,
        "misses_below_mm": 0.0,
        "miss_probability": 0.0,
        "false_positive_probability": 0.0,
    }
    return Reader(**usual | changes)


def dice(one, other):
    return 2 * np.sum(one & other) / (np.sum(one) + np.sum(other))


def by_place(patient):
    return {tuple(lesion.centre_mm): lesion for lesion in patient.lesions}


def test_the_same_seeds_give_the_same_voxels(scanner, metastases):
    one, other = (sample(draw_patient(1, "pre", metastases), scanner, 7) for _ in range(2))
    np.testing.assert_array_equal(one.hu, other.hu)
    np.testing.assert_array_equal(one.organs, other.organs)
    np.testing.assert_array_equal(read(one, reader(), 3), read(other, reader(), 3))


def test_another_patient_has_another_anatomy_and_other_metastases(phantoms):
    for one, other in itertools.combinations(phantoms, 2):
        assert (one.organs != other.organs).any()
        assert not np.array_equal(one.lesion_depth_mm[0], other.lesion_depth_mm[0])


def test_another_scan_of_a_patient_has_other_noise_and_the_same_anatomy(scanner, metastases):
    one, other = (sample(draw_patient(1, "pre", metastases), scanner, seed) for seed in (1, 2))
    np.testing.assert_array_equal(one.organs, other.organs)
    noise = (one.hu - other.hu).std() / np.sqrt(2)
    assert noise == pytest.approx(scanner.noise_hu, rel=0.05)


def test_anatomy_stays_between_timepoints(scanner, metastases):
    pre, post = (sample(draw_patient(1, when, metastases), scanner, 1) for when in ("pre", "post"))
    np.testing.assert_array_equal(pre.organs, post.organs)


def test_all_twelve_organs_are_there_and_nothing_else(phantoms):
    expected = {0, *(organ.totalsegmentator_id for organ in ORGANS)}
    assert len(expected) == 13
    for phantom in phantoms:
        assert set(np.unique(phantom.organs)) == expected


def test_left_is_left_and_the_head_is_up(phantoms):
    ids = {organ.name: organ.totalsegmentator_id for organ in ORGANS}
    for phantom in phantoms:
        image = phantom.image(phantom.organs)
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(image)
        right, left, bowel = (
            shape.GetCentroid(ids[name]) for name in ("kidney_right", "kidney_left", "small_bowel")
        )
        liver = shape.GetCentroid(ids["liver"])
        assert right[0] < 0 < left[0], "LPS: x grows to the patient's left"
        assert liver[1] < right[1], "LPS: y grows to the back"
        assert bowel[2] < liver[2], "LPS: z grows to the head"


def test_metastases_lie_in_the_liver(phantoms):
    for phantom in phantoms:
        for depth in phantom.lesion_depth_mm:
            assert phantom.liver.flat[depth.argmax()]
            assert phantom.liver[depth > 0].mean() > 0.5


def test_metastases_are_darker_than_the_liver(phantoms):
    for phantom in phantoms:
        lesions = (phantom.lesion_depth_mm > 5).any(axis=0) & phantom.liver
        rest = (phantom.lesion_depth_mm < -15).all(axis=0) & phantom.liver
        assert phantom.hu[lesions].mean() < phantom.hu[rest].mean() - 30


def test_the_number_of_metastases_is_within_its_bounds_and_reaches_them(metastases):
    numbers = {len(draw_patient(seed, "pre", metastases).lesions) for seed in SEEDS}
    assert numbers == {2, 3, 4, 5}


def test_a_number_can_be_exact():
    exact = Metastases(
        count=(3, 3), radius_mm=(5, 9), contrast_hu=(60, 90), edge_mm=(2, 8), shrinkage=(0.5, 0.9)
    )
    assert {len(draw_patient(seed, "pre", exact).lesions) for seed in range(5)} == {3}


def test_a_patient_without_metastases_is_no_patient_of_this_study(metastases):
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Metastases.model_validate(metastases.model_dump() | {"count": (0, 2)})


@pytest.mark.parametrize("timepoint", ["pre", "post"])
def test_the_largest_metastasis_comes_first(metastases, timepoint):
    for seed in SEEDS:
        diameters = [le.diameter_mm for le in draw_patient(seed, timepoint, metastases).lesions]
        assert diameters == sorted(diameters, reverse=True)


def test_after_therapy_the_same_metastases_are_smaller_and_fainter(metastases):
    for seed in SEEDS:
        pre, post = (by_place(draw_patient(seed, when, metastases)) for when in ("pre", "post"))
        assert pre.keys() == post.keys()
        for place, before in pre.items():
            after = post[place]
            factors = after.radii_mm / before.radii_mm
            assert np.ptp(factors) == pytest.approx(0)
            assert 0.7 <= factors[0] <= 0.9
            assert after.contrast_hu < before.contrast_hu


def test_readers_disagree_and_overlap(phantoms):
    readers = [reader(bias_mm=bias) for bias in (-0.8, 0.0, 0.8)]
    for phantom in phantoms:
        masks = [read(phantom, one, seed).astype(bool) for seed, one in enumerate(readers)]
        for one, other in itertools.combinations(masks, 2):
            assert 0.5 < dice(one, other) < 1


def test_readers_outline_within_the_liver_and_near_the_truth(phantoms):
    for phantom in phantoms:
        mask = read(phantom, reader(), 1)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1}
        assert not mask[~phantom.liver].any()
        truth = (phantom.lesion_depth_mm > 0).any(axis=0) & phantom.liver
        assert dice(mask.astype(bool), truth) > 0.7


def test_a_reader_outlines_the_same_with_the_same_seed_only(phantoms):
    masks = [read(phantoms[0], reader(), seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_bias_moves_the_volume(phantoms):
    for phantom in phantoms:
        volumes = [read(phantom, reader(bias_mm=bias), 1).sum() for bias in (-4, -2, 0, 2, 4)]
        assert volumes == sorted(set(volumes))


def test_small_metastases_are_missed_but_never_the_largest(phantoms):
    blind = reader(misses_below_mm=1000.0, miss_probability=1.0, wobble_mm=0.0)
    for phantom in phantoms:
        largest = phantom.lesion_depth_mm[0] > 0
        np.testing.assert_array_equal(read(phantom, blind, 1), largest & phantom.liver)


def test_a_false_positive_adds_a_lesion_in_the_liver(phantoms):
    careless = reader(false_positive_probability=1.0)
    added = [
        read(phantom, careless, seed) & ~read(phantom, reader(), seed)
        for phantom in phantoms
        for seed in range(4)
    ]
    assert sum(map(np.any, added)) > len(added) / 2


def test_the_image_has_the_scanners_grid_with_the_abdomen_in_the_middle(phantoms, scanner):
    scan = phantoms[0].scan
    assert scan.GetSize() == scanner.size_voxels
    assert scan.GetSpacing() == scanner.spacing_mm
    assert scan.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    last = scan.TransformIndexToPhysicalPoint([size - 1 for size in scan.GetSize()])
    assert scan.GetOrigin() == pytest.approx([-mm for mm in last])
    assert phantoms[0].image(phantoms[0].organs).GetOrigin() == scan.GetOrigin()


def test_the_scan_is_ct_in_whole_hu(phantoms):
    scan = phantoms[0].scan
    assert scan.GetPixelID() == sitk.sitkInt16
    voxels = sitk.GetArrayFromImage(scan)
    np.testing.assert_allclose(voxels, np.clip(phantoms[0].hu, -1024, 3071), atol=0.5001)
    assert np.median(voxels[:, 0, 0]) == pytest.approx(-1000, abs=10), "air in the corner"
    assert voxels[phantoms[0].liver].mean() == pytest.approx(100, abs=25)


def test_enhancement_brightens_the_organs(scanner, metastases, phantoms):
    plain = scanner.model_copy(update={"enhancement": 0.5})
    faint = sample(draw_patient(1, "pre", metastases), plain, 1)
    kidney = phantoms[0].organs == 3
    assert faint.hu[kidney].mean() < phantoms[0].hu[kidney].mean() - 20
