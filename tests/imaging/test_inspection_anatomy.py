"""What is measured of organs and lesions, against values worked out by hand."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from coala_kedro.imaging.inspection import inspect_anatomy

LIVER, SPLEEN = 5, 1
SHAPE, SPACING_MM = (10, 20, 30), (2.0, 2.0, 5.0)


def image(voxels):
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing(SPACING_MM)
    return made


def inspect(hu, organs, crlm=None, margin_mm=10.0):
    return inspect_anatomy(
        image(hu),
        image(organs),
        None if crlm is None else image(crlm),
        liver=LIVER,
        spleen=SPLEEN,
        expected_mm={LIVER: (0, 0, 0), SPLEEN: (30, 0, 0)},
        margin_mm=margin_mm,
    )


@pytest.fixture
def hu():
    """Noise of 0 or 1 around 100 HU in a body of 50."""
    return (50 + np.random.default_rng(0).integers(0, 2, SHAPE)).astype(np.int16)


@pytest.fixture
def organs():
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:8, 4:14, 2:12] = LIVER
    labels[3:6, 6:12, 20:26] = SPLEEN
    return labels


def test_facts_of_a_sound_liver(hu, organs):
    hu[organs == LIVER] += 50
    hu[organs == SPLEEN] += 70
    facts = inspect(hu, organs)
    assert facts["liver_ml"] == pytest.approx(600 * 20 / 1000)
    assert facts["liver_cut_share"] == 0
    assert facts["liver_hu"] in (100, 100.5, 101)
    assert facts["spleen_hu"] in (120, 120.5, 121)
    assert facts["liver_hu_spread"] <= 1
    assert facts["n_blank_liver_slices"] == 0
    assert facts["turned_axes"] == ""
    assert "fat_hu" not in facts
    assert not {"crlm_share_of_liver", "crlm_cut", "crlm_outside_liver_share"} & facts.keys()


def test_without_a_liver_there_is_little_to_tell(hu, organs):
    assert inspect(hu, organs * 0) == {"liver_ml": 0}
    assert inspect(hu, organs * (organs == SPLEEN)).keys() == {"liver_ml", "spleen_hu"}


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", [0, -1])
def test_how_much_of_the_liver_lies_in_the_border(hu, organs, axis, end):
    organs[:] = 0
    organs[3:6, 5:10, 5:15] = LIVER
    place = [slice(3, 6), slice(5, 10), slice(5, 15)]
    place[axis] = slice(0, 4) if end == 0 else slice(5, None)
    organs[tuple(place)] = LIVER
    assert inspect(hu, organs)["liver_cut_share"] == 1
    border = [slice(None)] * 3
    border[axis] = end
    area = np.moveaxis(organs, axis, 0)[end]
    n_voxels = int((area == LIVER).sum())
    area[np.argwhere(area)[1:, 0], np.argwhere(area)[1:, 1]] = 0
    assert inspect(hu, organs)["liver_cut_share"] == pytest.approx(1 / n_voxels)


def test_lesions_do_not_count_as_liver_tissue_but_as_liver(hu, organs):
    crlm = np.zeros(SHAPE, np.uint8)
    crlm[2:8, 4:10, 2:12] = 1  # six tenths of the liver
    hu[crlm == 1] = -500
    facts = inspect(hu, organs, crlm)
    assert facts["crlm_share_of_liver"] == pytest.approx(0.6)
    assert facts["liver_hu"] in (50, 50.5, 51)
    cut_out = np.where(crlm == 1, 0, organs).astype(np.uint8)
    assert inspect(hu, cut_out, crlm)["crlm_share_of_liver"] == pytest.approx(0.6)
    everything = (organs == LIVER).astype(np.uint8)
    facts = inspect(hu, organs, everything)
    assert facts["crlm_share_of_liver"] == 1
    assert "liver_hu" not in facts


def test_a_lesion_that_goes_on_beyond_the_scan_is_told(hu, organs):
    crlm = np.zeros(SHAPE, np.uint8)
    crlm[5, 6, 6] = 1
    assert inspect(hu, organs, crlm)["crlm_cut"] is False
    crlm[5, 6, 0] = 1
    assert inspect(hu, organs, crlm)["crlm_cut"] is True


@pytest.mark.parametrize("margin_mm", [0.0, 3.0, 10.0, 200.0])
def test_the_share_outside_the_liver_is_that_of_all_distances(hu, organs, margin_mm):
    crlm = np.random.default_rng(1).random(SHAPE) < 0.05
    distance_mm = ndimage.distance_transform_edt(organs != LIVER, sampling=SPACING_MM[::-1])
    expected = np.mean(distance_mm[crlm] > margin_mm)
    facts = inspect(hu, organs, crlm.astype(np.uint8), margin_mm)
    assert facts["crlm_outside_liver_share"] == pytest.approx(expected)


def test_a_lesion_far_from_the_liver_is_outside(hu, organs):
    crlm = np.zeros(SHAPE, np.uint8)
    crlm[9, 19, 29] = 1
    assert inspect(hu, organs, crlm)["crlm_outside_liver_share"] == 1


def test_slices_that_differ_and_blank_ones_are_counted(hu, organs):
    assert inspect(hu, organs)["liver_hu_spread"] <= 1
    hu[4] += 300
    facts = inspect(hu, organs)
    assert facts["liver_hu_spread"] == pytest.approx(300, abs=1)
    hu[4:6] = 50
    facts = inspect(hu, organs)
    assert facts["liver_hu_spread"] <= 1
    assert facts["n_blank_liver_slices"] == 2


def test_a_small_section_does_not_speak_for_the_liver(hu, organs):
    organs[8, 4, 2:11] = LIVER  # 9 voxels of 100
    hu[8] = -100
    facts = inspect(hu, organs)
    assert facts["liver_hu_spread"] <= 1
    assert facts["n_blank_liver_slices"] == 0


@pytest.mark.parametrize("factor", [-1, 0.5, 1, 2, 3])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_fat_tells_the_scale_of_hu(organs, factor, dtype):
    rng = np.random.default_rng(2)
    voxels = rng.normal(55, 20, SHAPE)
    voxels[:, ::2] = rng.normal(-100, 20, voxels[:, ::2].shape)
    voxels[:, :, -3:] = -1000
    facts = inspect((voxels * factor).astype(dtype), organs)
    expected = -55 if factor == -1 else -100 * factor
    assert facts["fat_hu"] == pytest.approx(expected, abs=15 * max(1, abs(factor)))


def test_a_body_without_fat_tells_no_scale(organs):
    rng = np.random.default_rng(2)
    lean = rng.normal(55, 20, SHAPE)
    lean[:, :2] = rng.uniform(-1000, 50, lean[:, :2].shape)  # the skin, half air
    assert "fat_hu" not in inspect(lean.astype(np.int16), organs)
