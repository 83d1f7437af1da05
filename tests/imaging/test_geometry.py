import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.imaging.geometry import (
    GRID_TOLERANCE,
    grid_differences,
    image_like,
    labels_zyx,
    replace_labels,
    spacing_zyx_mm,
    volume_ml_per_voxel,
)


@pytest.fixture
def reference():
    image = sitk.Image([4, 3, 2], sitk.sitkUInt8)
    image.SetSpacing([0.5, 0.8, 5.0])
    image.SetOrigin([-250.25, 10.0, 30.0])
    image.SetDirection([1, 0, 0, 0, -1, 0, 0, 0, -1])
    return image


def test_an_image_is_on_its_own_grid_whatever_its_pixel_type(reference):
    assert grid_differences(sitk.Cast(reference, sitk.sitkFloat32), reference) == []


def test_each_difference_is_named_with_both_values(reference):
    image = sitk.Image([4, 3, 3], sitk.sitkUInt8)
    image.SetSpacing([0.5, 0.8, 3.0])
    assert grid_differences(image, reference) == [
        "size (4, 3, 3) instead of (4, 3, 2) voxels",
        "spacing (0.5, 0.8, 3) instead of (0.5, 0.8, 5) mm",
        "origin (0, 0, 0) instead of (-250.25, 10, 30) mm",
        "direction (1, 0, 0, 0, 1, 0, 0, 0, 1) instead of (1, 0, 0, 0, -1, 0, 0, 0, -1) cosines",
    ]


@pytest.mark.parametrize(("shift", "n_differences"), [(0.9, 0), (1.1, 1)])
def test_differences_up_to_the_tolerance_are_the_same_grid(reference, shift, n_differences):
    image = sitk.Image(reference)
    image.SetOrigin([-250.25 + shift * GRID_TOLERANCE, 10.0, 30.0])
    assert len(grid_differences(image, reference)) == n_differences


def test_a_slice_is_not_on_a_volumes_grid(reference):
    assert grid_differences(reference[:, :, 0], reference) == ["2 dimensions instead of 3"]


def test_spacing_is_in_the_order_of_array_axes(reference):
    assert spacing_zyx_mm(reference) == (5.0, 0.8, 0.5)


def test_a_voxel_of_half_by_point_eight_by_five_mm_is_two_thousandths_of_a_ml(reference):
    assert volume_ml_per_voxel(reference) == pytest.approx(0.002)


def test_an_array_comes_back_from_the_image_it_was_put_on(reference):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = image_like(array, reference)
    assert grid_differences(image, reference) == []
    assert image.GetPixel(3, 0, 1) == array[1, 0, 3]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)


def test_a_bool_array_becomes_a_uint8_image(reference):
    image = image_like(np.ones((2, 3, 4), dtype=bool), reference)
    assert image.GetPixelID() == sitk.sitkUInt8
    assert sitk.GetArrayFromImage(image).sum() == 24


def test_an_array_in_xyz_order_is_refused(reference):
    with pytest.raises(ValueError, match=r"\(4, 3, 2\) does not fit a grid of shape \(2, 3, 4\)"):
        image_like(np.zeros((4, 3, 2)), reference)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_whole_numbers_are_labels_in_any_type(dtype):
    array = np.array([[[0, 1, 117]]], dtype=dtype)
    np.testing.assert_array_equal(labels_zyx(sitk.GetImageFromArray(array), "It"), array)


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, -1024])
def test_what_is_no_label_is_named_with_its_value(value):
    image = sitk.GetImageFromArray(np.array([[[0, 1, value]]]))
    with pytest.raises(ValueError, match=f"The mask of A holds {value:g}, which is no label"):
        labels_zyx(image, "The mask of A")


def test_labels_are_replaced_by_the_tables_values():
    labels = np.array([[[0, 2]], [[1, 2]]], dtype=np.float32)
    replaced = replace_labels(labels, np.array([7, 8, 9], dtype=np.uint8))
    assert replaced.dtype == np.uint8
    assert replaced.tolist() == [[[7, 9]], [[8, 9]]]
