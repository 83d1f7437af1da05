import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from scipy.spatial.distance import pdist

from coala_kedro.imaging.lesions import (
    label_lesions,
    lesion_volumes_ml,
    longest_axial_diameter_mm,
    union_box,
)

MASKS = arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=6))


@given(
    arrays(
        np.uint8,
        array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.just(0) | st.integers(0, 3),
    )
)
def test_lesions_are_scipys_components_that_touch_at_a_corner(mask):
    labels, n_lesions = label_lesions(mask)
    expected, n_expected = ndimage.label(mask != 0, structure=np.ones((3, 3, 3)))
    assert n_lesions == n_expected
    pairs = set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(labels)) == len(np.unique(expected))
    assert set(np.unique(labels)) - {0} == set(range(1, n_lesions + 1))
    assert ((labels > 0) == (mask > 0)).all()


def test_labels_of_one_lesion_that_differ_do_not_cut_it():
    assert label_lesions(np.array([[[1, 2, 255]]], dtype=np.uint8))[1] == 1


def test_volumes_are_voxels_times_their_volume():
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, :3] = True
    mask[3, 3, 3] = True
    labels, n_lesions = label_lesions(mask)
    volumes = lesion_volumes_ml(labels, n_lesions, ml_per_voxel=0.5)
    assert volumes[labels[0, 0, 0] - 1] == pytest.approx(1.5)
    assert volumes[labels[3, 3, 3] - 1] == pytest.approx(0.5)


def test_an_empty_mask_has_no_lesions_and_no_volumes():
    labels, n_lesions = label_lesions(np.zeros((2, 3, 4), dtype=bool))
    assert n_lesions == 0
    assert labels.shape == (2, 3, 4)
    assert lesion_volumes_ml(labels, n_lesions, 0.1).shape == (0,)


@given(MASKS)
def test_the_box_holds_every_voxel_and_no_empty_end(mask):
    box = union_box(mask)
    assert mask[box].sum() == mask.sum()
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        ends = mask[box].any(axis=others)[[0, -1]] if mask.any() else []
        assert all(ends)


def test_the_box_is_around_all_masks():
    first, second = np.zeros((2, 5, 6, 7), dtype=bool)
    first[1, 2, 3] = second[3, 0, 4] = True
    assert union_box(first, second) == (slice(1, 4), slice(0, 3), slice(3, 5))


@given(MASKS)
def test_the_diameter_is_the_longest_line_between_corners_of_one_slice(mask):
    row_mm, column_mm = 0.7, 1.2
    longest_mm = 0.0
    for plane in mask:
        corners = [
            ((y + down) * row_mm, (x + right) * column_mm)
            for y, x in np.argwhere(plane)
            for down in (0, 1)
            for right in (0, 1)
        ]
        longest_mm = max([longest_mm, *(pdist(corners) if corners else ())])
    diameter_mm = longest_axial_diameter_mm(mask, (5.0, row_mm, column_mm))
    assert diameter_mm == pytest.approx(longest_mm)


def test_one_voxel_is_as_wide_as_its_diagonal():
    assert longest_axial_diameter_mm(np.ones((1, 1, 1), bool), (5.0, 3.0, 4.0)) == pytest.approx(5)


def test_a_ball_has_its_diameter():
    z, y, x = np.ogrid[-12:13, -12:13, -12:13]
    ball = z**2 + y**2 + x**2 <= 10**2
    assert longest_axial_diameter_mm(ball, (1.0, 1.0, 1.0)) == pytest.approx(21, abs=0.5)
