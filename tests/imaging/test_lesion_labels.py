import numpy as np
import pytest
import SimpleITK as sitk
from slicer_writer import write_seg_nrrd

from coala_kedro.imaging.files import VolumeError, read_texts
from coala_kedro.imaging.geometry import grid_differences, paste_on_grid
from coala_kedro.imaging.lesion_labels import select_segments, select_values
from coala_kedro.sources import SourceVolume

SHAPE = (6, 8, 10)


@pytest.fixture
def scan():
    image = sitk.Image(SHAPE[::-1], sitk.sitkInt16)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 40.25, 7.5))
    return image


def box(z, y, x):
    mask = np.zeros(SHAPE, np.uint8)
    mask[slice(*z), slice(*y), slice(*x)] = 1
    return mask


MASKS = {
    "Liver": box((1, 5), (2, 7), (1, 9)),
    "tumor A": box((2, 3), (3, 5), (2, 5)),
    "tumor B": box((4, 5), (4, 6), (6, 8)),
}
OVERLAPPING = {"layers": [0, 1, 1]}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_values_of_any_type_make_a_mask(dtype):
    labels = sitk.GetImageFromArray(np.array([[[0, 1, 2, 3, 2]]], dtype))
    labels.SetSpacing((2, 3, 4))
    mask = select_values(labels, (2, 3))
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert grid_differences(mask, labels) == []
    assert sitk.GetArrayFromImage(mask).tolist() == [[[0, 0, 1, 1, 1]]]
    assert not sitk.GetArrayFromImage(select_values(labels, (7,))).any()


@pytest.mark.parametrize(
    ("voxels", "told"),
    [
        (np.array([[[0, 0.5, 2]]]), "0.5"),
        (np.array([[[0, -2, 2]]], np.int16), "-2"),
        (np.array([[[0, np.nan, 2]]]), "nan"),
    ],
)
def test_what_is_no_label_is_refused(voxels, told):
    with pytest.raises(VolumeError, match=told) as error:
        select_values(sitk.GetImageFromArray(voxels), (2,))
    assert error.value.code == "mask_values"


def test_several_values_a_voxel_are_no_labels():
    layers = sitk.GetImageFromArray(np.zeros((2, 3, 4, 5), np.uint8), isVector=True)
    with pytest.raises(VolumeError, match="5 values a voxel") as error:
        select_values(layers, (2,))
    assert error.value.code == "mask_values"


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize(
    ("masks", "options"),
    [
        ({"tumor A": MASKS["tumor A"]}, {}),
        ({"tumor A": MASKS["tumor A"], "tumor B": MASKS["tumor B"]}, {}),
        (MASKS, OVERLAPPING),
        (MASKS, {"layers": [1, 0, 2]}),
        (MASKS, {"old": True}),
    ],
    ids=["one", "one layer", "overlapping", "three layers", "before 4.11"],
)
def test_segments_are_chosen_by_name(tmp_path, scan, masks, options, crop):
    path = tmp_path / "mask.seg.nrrd"
    write_seg_nrrd(masks, scan, path, crop=crop, **options)
    for pattern in ("tumor A", "tumor B", "tumor.*", "Liver"):
        chosen = [mask for name, mask in masks.items() if name == pattern]
        if pattern == "tumor.*":
            chosen = [mask for name, mask in masks.items() if name != "Liver"]
        source = SourceVolume(str(path), segments=pattern)
        if not chosen:
            with pytest.raises(VolumeError) as error:
                source.whole()
            assert error.value.code == "no_segment"
            continue
        assert source.may_be_cropped
        mask = paste_on_grid(source.whole(), scan)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), np.any(chosen, axis=0))


def test_a_name_that_is_not_there_is_told_without_those_that_are(tmp_path, scan):
    path = tmp_path / "mask.seg.nrrd"
    write_seg_nrrd({"Jansen 1961": MASKS["Liver"]}, scan, path)
    with pytest.raises(VolumeError, match="None of its 1 segments") as error:
        SourceVolume(str(path), segments="tumor.*").whole()
    assert "Jansen" not in str(error.value)


@pytest.mark.parametrize(
    ("told", "written"),
    [
        ("LabelValue:=1", "LabelValue:=one"),
        ("LabelValue:=1", "LabelValue:=0"),
        ("LabelValue:=2", "LabelValue:=1"),
        ("LabelValue:=2", "Value:=2"),
        ("Layer:=1", "Layer:=7"),
        ("Layer:=1", "Layer:=-1"),
    ],
)
def test_a_damaged_header_is_told(tmp_path, scan, told, written):
    path = tmp_path / "mask.seg.nrrd"
    write_seg_nrrd(MASKS, scan, path, **OVERLAPPING)
    path.write_bytes(path.read_bytes().replace(told.encode(), written.encode()))
    with pytest.raises(VolumeError) as error:
        select_segments(sitk.ReadImage(str(path)), read_texts(path), ".*")
    assert error.value.code == "unreadable"
