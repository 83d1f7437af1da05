import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from storage import ORDERS_AND_FLIPS, stored

from coala_kedro.imaging.geometry import (
    GRID_TOLERANCE,
    grid_differences,
    image_like,
    labels_zyx,
    orientation_of,
    oriented,
    paste_on_grid,
    put_back,
    replace_labels,
    spacing_zyx_mm,
    upright,
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


@pytest.fixture
def oblique():
    """A scan's grid with three different axes, none along the world's."""
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))
    turn = sitk.VersorTransform((0.3, -0.5, 0.8), 0.7)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.3, 45.6, 7.8))
    return image


def random_mask(reference, seed):
    voxels = np.random.default_rng(seed).integers(0, 2, reference.GetSize()[::-1], np.uint8)
    return image_like(voxels, reference)


def test_a_mask_on_the_grid_is_left_as_it_is(oblique):
    mask = random_mask(oblique, 0)
    assert paste_on_grid(mask, oblique) is mask


@given(
    flips=st.tuples(*[st.booleans()] * 3),
    order=st.permutations([0, 1, 2]),
    cut=st.tuples(*[st.integers(0, 2)] * 6),
    pad=st.tuples(*[st.integers(0, 3)] * 6),
)
def test_a_mask_turned_cut_and_padded_comes_back_voxel_for_voxel(flips, order, cut, pad):
    reference = sitk.GetImageFromArray(np.zeros((5, 6, 7), np.int16))
    reference.SetDirection(sitk.VersorTransform((0.3, -0.5, 0.8), 0.7).GetMatrix())
    reference.SetSpacing((0.7, 0.8, 2.5))
    reference.SetOrigin((-12.3, 45.6, 7.8))
    whole = random_mask(reference, 1)
    part = sitk.Crop(whole, cut[:3], cut[3:])
    expected = sitk.ConstantPad(part, cut[:3], cut[3:])
    turned = sitk.Flip(sitk.PermuteAxes(sitk.ConstantPad(part, pad[:3], pad[3:]), order), flips)
    pasted = paste_on_grid(turned, reference)
    assert grid_differences(pasted, reference) == []
    assert pasted.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(pasted), sitk.GetArrayFromImage(expected))


@pytest.mark.parametrize("shift_voxels", [(0.5, 0, 0), (0, 0, 0.02), (1, 1, 0.4)])
def test_a_mask_between_the_voxels_is_refused_unless_resampled(oblique, shift_voxels):
    mask = random_mask(oblique, 2)
    mask.SetOrigin(oblique.TransformContinuousIndexToPhysicalPoint(shift_voxels))
    with pytest.raises(ValueError, match=r"origin \(.*\) instead of \(.*\) mm"):
        paste_on_grid(mask, oblique)
    expected = sitk.Resample(mask, oblique, sitk.Transform(), sitk.sitkNearestNeighbor)
    pasted = paste_on_grid(mask, oblique, resample=True)
    assert grid_differences(pasted, oblique) == []
    np.testing.assert_array_equal(sitk.GetArrayFromImage(pasted), sitk.GetArrayFromImage(expected))


def test_rounding_in_a_header_is_no_other_grid(oblique):
    mask = random_mask(oblique, 3)
    mask.SetOrigin([value + 0.002 for value in oblique.GetOrigin()])
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(paste_on_grid(mask, oblique)), sitk.GetArrayFromImage(mask)
    )


def test_a_mask_of_other_spacing_is_refused(oblique):
    mask = random_mask(oblique, 4)
    mask.SetSpacing((0.7, 0.8, 2.6))
    with pytest.raises(ValueError, match="spacing"):
        paste_on_grid(mask, oblique)


def test_voxels_outside_the_scan_are_counted(oblique):
    mask = sitk.ConstantPad(random_mask(oblique, 5) * 0 + 1, (1, 0, 0), (0, 0, 0), 1)
    with pytest.raises(ValueError, match="20 voxels of it lie outside the scan"):
        paste_on_grid(mask, oblique)


TURNS_RAD = {"upright": 0.0, "tilted": 0.2, "steep": 0.75}


@pytest.fixture(params=TURNS_RAD)
def turned(request):
    """A scan of different axes, upright or oblique, in the canonical orientation."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (3, 4, 5), np.int16)
    scan = sitk.GetImageFromArray(voxels)
    scan.SetSpacing((0.7, 0.8, 2.5))
    scan.SetOrigin((-12.3, 45.6, 7.8))
    turn = sitk.VersorTransform((0.3, -0.5, 0.8), TURNS_RAD[request.param])
    scan.SetDirection(turn.GetMatrix())
    return oriented(scan)


@pytest.fixture
def otherwise(turned):
    """The same scan in all 48 orders and senses of its axes."""
    return [stored(turned, order, flips) for order, flips in ORDERS_AND_FLIPS]


def test_a_scan_is_oriented_alike_however_it_is_stored(turned, otherwise):
    for other in otherwise:
        same = oriented(other)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(same), sitk.GetArrayFromImage(turned))
        assert grid_differences(same, turned) == []
        back = put_back(same, other)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(other))
        for exact in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(back, exact)() == getattr(other, exact)()


def test_orientations_are_those_of_nibabel(otherwise, tmp_path):
    for n, other in enumerate(otherwise):
        path = tmp_path / f"scan_{n}.nii"
        sitk.WriteImage(other, str(path))
        read, theirs = sitk.ReadImage(str(path)), nibabel.load(path)
        assert orientation_of(read) == "".join(nibabel.aff2axcodes(theirs.affine))
        ras = sitk.GetArrayFromImage(oriented(read, "RAS"))
        closest = nibabel.as_closest_canonical(theirs)
        np.testing.assert_array_equal(ras.transpose(), np.asarray(closest.dataobj))


def test_a_canonical_scan_is_left_as_it_is(turned):
    assert orientation_of(turned) == "LPS"
    assert oriented(turned) is turned


def test_upright_a_scan_is_the_same_to_the_last_bit(turned, otherwise, tmp_path):
    path = tmp_path / "scan.nii"
    for other in otherwise:
        sitk.WriteImage(other, str(path))  # tilts in single precision
        same = upright(sitk.ReadImage(str(path)))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(same), sitk.GetArrayFromImage(turned))
        assert same.GetSpacing() == tuple(map(float, np.float32(turned.GetSpacing())))
        assert same.GetOrigin() == (0, 0, 0)
        assert same.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert orientation_of(turned) == "LPS"  # and the scan is as it was
