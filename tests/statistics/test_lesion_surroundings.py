import numpy as np
import pytest
from mask_pairs import ball, mask_pair
from scipy import ndimage

from coala_kedro.statistics.lesion_matching import score_lesions

SPACING_ZYX_MM = (2.0, 2.0, 2.0)
NOTHING = np.zeros((30, 40, 40), dtype=bool)


def block(z, y, x):
    mask = NOTHING.copy()
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def near_border(lesion, liver, predicted=NOTHING):
    lesions = score_lesions(lesion, predicted, SPACING_ZYX_MM, liver=liver & ~lesion)
    return lesions["near_liver_border"].tolist()


LIVER = block((2, 28), (4, 36), (4, 36))


@pytest.mark.parametrize(
    ("first", "expected"),
    # The liver's first voxel is number 4: 5 voxels of 2 mm further is 10 mm.
    [(4, True), (9, True), (10, False)],
)
def test_a_lesion_is_near_the_border_up_to_ten_millimetres_inside(first, expected):
    assert near_border(block((14, 16), (18, 20), (first, first + 3)), LIVER) == [expected]


@pytest.mark.parametrize("seed", range(20))
def test_nearness_is_that_of_a_distance_transform_of_the_whole_scan(seed):
    reference, predicted, spacing = mask_pair(seed)
    middle = np.array(reference.shape) // 2
    liver = ball(reference.shape, spacing, middle, 0.5 * max(np.multiply(spacing, middle)))
    organ = liver | reference
    border = organ ^ ndimage.binary_erosion(organ, border_value=1)
    from_border_mm = ndimage.distance_transform_edt(~border, sampling=spacing)
    lesions = score_lesions(reference, predicted, spacing, liver=liver & ~reference)
    labels, n_lesions = ndimage.label(reference, np.ones((3, 3, 3)))
    nearest_mm = ndimage.minimum(from_border_mm, labels, range(1, n_lesions + 1))
    near = lesions["near_liver_border"][lesions["status"] != "false_positive"]
    assert near.sum() == (np.array(nearest_mm) <= 10).sum()


def test_a_lesion_deep_inside_is_not_near_although_the_label_map_cuts_it_out():
    # Without the lesion's voxels the liver's surface would run around every lesion within it.
    assert near_border(block((14, 16), (18, 20), (18, 20)), LIVER) == [False]


@pytest.mark.parametrize(("last", "expected"), [(36, True), (32, True), (31, False)])
def test_an_invented_lesion_outside_is_near_up_to_ten_millimetres(last, expected):
    liver = block((2, 28), (4, 36), (36, 40))
    invented = block((14, 16), (18, 20), (28, last))
    assert near_border(NOTHING, liver, invented) == [expected]


def test_a_large_invented_lesion_around_the_border_is_near_it():
    liver = block((0, 30), (0, 40), (0, 40))
    liver[15, 20, 20] = False
    assert near_border(NOTHING, liver, block((3, 27), (8, 32), (8, 32))) == [True]


def test_the_end_of_the_scan_is_no_border_of_the_liver():
    liver = block((0, 30), (0, 40), (0, 40))
    assert near_border(block((0, 3), (18, 20), (0, 3)), liver) == [False]


def test_a_label_map_without_liver_tells_nothing_of_its_border():
    lesions = score_lesions(
        block((0, 3), (18, 20), (0, 3)), NOTHING, SPACING_ZYX_MM, liver=NOTHING, scan_hu=NOTHING
    )
    assert lesions["near_liver_border"].isna().all()
    assert lesions["contrast_hu"].isna().all()


def test_contrast_is_against_liver_without_the_consensus_lesions():
    lesion, invented = block((5, 8), (8, 12), (8, 12)), block((20, 23), (20, 24), (20, 24))
    scan_hu = np.full(NOTHING.shape, -900, dtype=np.int16)
    scan_hu[LIVER] = 110
    scan_hu[lesion], scan_hu[invented] = 60, 112
    lesions = score_lesions(lesion, invented, SPACING_ZYX_MM, liver=LIVER, scan_hu=scan_hu)
    liver_hu = scan_hu[LIVER & ~lesion].astype(float).mean()
    assert lesions["contrast_hu"].tolist() == pytest.approx([60 - liver_hu, 112 - liver_hu])
    alone = score_lesions(lesion, NOTHING, SPACING_ZYX_MM, liver=LIVER, scan_hu=scan_hu)
    assert alone["contrast_hu"][0] == lesions["contrast_hu"][0]
