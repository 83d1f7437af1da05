import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from coala_kedro.imaging.lesions import label_lesions, lesion_volumes_ml


@settings(deadline=None, derandomize=True)
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
