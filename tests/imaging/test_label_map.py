import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.imaging.label_map import compose_label_map, crlm_mask

# TotalSegmentator's class id: the study's, from the paper's list of organs.
IDS = {19: 1, 7: 2, 8: 3, 9: 4, 1: 5, 4: 6, 2: 7, 3: 8, 20: 9, 6: 10, 18: 11, 5: 12}


def to_image(values, dtype=np.uint8):
    return sitk.GetImageFromArray(np.array([[values]], dtype=dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_the_twelve_organs_get_their_ids_and_all_else_is_background(dtype):
    classes = list(range(118))
    label_map = compose_label_map(to_image(classes, dtype), to_image([0] * 118))
    assert label_map.GetPixelID() == sitk.sitkUInt8
    assert sitk.GetArrayFromImage(label_map)[0, 0].tolist() == [IDS.get(c, 0) for c in classes]


def test_ids_beyond_a_byte_are_background_too():
    label_map = compose_label_map(to_image([5, 261, 1000], np.uint16), to_image([0, 0, 0]))
    assert sitk.GetArrayFromImage(label_map)[0, 0].tolist() == [12, 0, 0]


def test_crlm_lies_over_organs_and_outside_them():
    label_map = compose_label_map(to_image([5, 5, 20, 0]), to_image([0, 1, 255, 1]))
    assert sitk.GetArrayFromImage(label_map)[0, 0].tolist() == [12, 13, 13, 13]
    assert crlm_mask(label_map)[0, 0].tolist() == [False, True, True, True]


def test_the_label_map_lies_on_the_organs_grid():
    organs, lesions = to_image([5, 5]), to_image([0, 1])
    for image in (organs, lesions):
        image.SetSpacing([0.7, 0.7, 3.0])
        image.SetOrigin([-1.0, 2.0, 3.0])
    label_map = compose_label_map(organs, lesions)
    assert label_map.GetSpacing() == (0.7, 0.7, 3.0)
    assert label_map.GetOrigin() == (-1.0, 2.0, 3.0)


def test_masks_on_different_grids_are_refused_with_what_differs():
    lesions = to_image([0, 1])
    lesions.SetSpacing([1.0, 1.0, 5.0])
    with pytest.raises(ValueError, match=r"spacing \(1, 1, 5\) instead of \(1, 1, 1\) mm"):
        compose_label_map(to_image([5, 5]), lesions)


def test_arguments_are_left_as_they_were():
    organs, lesions = to_image([5, 77]), to_image([1, 0])
    compose_label_map(organs, lesions)
    assert sitk.GetArrayFromImage(organs)[0, 0].tolist() == [5, 77]
    assert sitk.GetArrayFromImage(lesions)[0, 0].tolist() == [1, 0]
