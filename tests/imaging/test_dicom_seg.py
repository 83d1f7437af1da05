import contextlib
import struct
import traceback

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import slices_of, write_seg
from highdicom.seg import SegmentationTypeValues
from hypothesis import given, settings
from hypothesis import strategies as st

from coala_kedro.imaging.dicom_seg import read_segments
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import grid_differences, paste_on_grid

SHAPE = (8, 10, 12)


def scan_of(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    noise = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    image = sitk.GetImageFromArray(noise)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 40.25, 7.5))
    image.SetDirection(direction)
    return image


def box(*zyx):
    mask = np.zeros(SHAPE, np.uint8)
    mask[tuple(slice(*axis) for axis in zyx)] = 1
    return mask


MASKS = {
    "Liver": box((1, 8), (2, 9), (1, 9)),
    "Tumor_1": box((2, 4), (3, 5), (3, 6)),
    "Tumor_2": box((6, 7), (6, 8), (5, 6)),
    "Tumor_10": box((2, 3), (8, 9), (8, 9)),
}
OBLIQUE = sitk.VersorTransform((0.3, -0.5, 0.8), 0.7).GetMatrix()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "seg.dcm"
    write_seg(MASKS, slices_of(scan_of()), path)
    return path


def pasted(path, pattern, scan):
    mask = paste_on_grid(read_segments(path, pattern), scan)
    assert grid_differences(mask, scan) == []
    assert mask.GetPixelID() == sitk.sitkUInt8
    return sitk.GetArrayFromImage(mask)


@pytest.mark.parametrize(
    "direction",
    [
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),
        (0, 0, 1, 1, 0, 0, 0, 1, 0),
        OBLIQUE,
    ],
)
@pytest.mark.parametrize("omit_empty_frames", [True, False])
def test_segments_come_back_voxel_for_voxel(tmp_path, direction, omit_empty_frames):
    scan = scan_of(direction)
    path = tmp_path / "seg.dcm"
    write_seg(MASKS, slices_of(scan), path, omit_empty_frames=omit_empty_frames)
    tumours = MASKS["Tumor_1"] | MASKS["Tumor_2"] | MASKS["Tumor_10"]
    np.testing.assert_array_equal(pasted(path, "Tumor_.*", scan), tumours)
    np.testing.assert_array_equal(pasted(path, "Liver", scan), MASKS["Liver"])


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("Tumor_1", ["Tumor_1"]),
        ("Tumor_1.*", ["Tumor_1", "Tumor_10"]),
        ("(?i)tumor_2", ["Tumor_2"]),
    ],
)
def test_the_whole_label_must_match(tmp_path, pattern, labels):
    scan = scan_of()
    write_seg(MASKS, slices_of(scan), tmp_path / "seg.dcm")
    expected = sum(MASKS[label] for label in labels)
    np.testing.assert_array_equal(pasted(tmp_path / "seg.dcm", pattern, scan), expected)


def test_no_label_is_told_where_none_matches(tmp_path):
    write_seg(MASKS, slices_of(scan_of()), tmp_path / "seg.dcm")
    with pytest.raises(VolumeError, match=f"none of its {len(MASKS)} segments") as raised:
        read_segments(tmp_path / "seg.dcm", "Metastasis")
    assert not any(label in str(raised.value) for label in ("Metastasis", *MASKS))
    assert raised.value.code == "no_segment"


@pytest.mark.parametrize("z", [(2, 3), (0, 8)])
def test_a_lesion_in_one_slice_or_in_slices_far_apart(tmp_path, z):
    """One frame alone, or the first and the last with none between."""
    scan = scan_of()
    mask = np.zeros(SHAPE, np.uint8)
    mask[[z[0], z[1] - 1], 4, 5] = 1
    write_seg({"Tumor": mask}, slices_of(scan), tmp_path / "seg.dcm")
    np.testing.assert_array_equal(pasted(tmp_path / "seg.dcm", "Tumor", scan), mask)


def test_a_segmentation_of_part_of_the_series(tmp_path):
    scan = scan_of()
    write_seg({"Tumor": MASKS["Tumor_1"][1:6]}, slices_of(scan)[1:6], tmp_path / "seg.dcm")
    np.testing.assert_array_equal(pasted(tmp_path / "seg.dcm", "Tumor", scan), MASKS["Tumor_1"])


def test_a_label_map_s_background_is_no_segment(tmp_path):
    scan = scan_of()
    apart = {label: MASKS[label] for label in ("Tumor_1", "Tumor_2")}
    write_seg(apart, slices_of(scan), tmp_path / "seg.dcm", kind=SegmentationTypeValues.LABELMAP)
    np.testing.assert_array_equal(pasted(tmp_path / "seg.dcm", ".*", scan), sum(apart.values()))
    np.testing.assert_array_equal(pasted(tmp_path / "seg.dcm", ".*2", scan), apart["Tumor_2"])


def test_a_segment_that_nobody_drew_is_empty(tmp_path):
    scan = scan_of()
    write_seg(MASKS | {"Cyst": box((0, 0))}, slices_of(scan), tmp_path / "seg.dcm")
    assert not pasted(tmp_path / "seg.dcm", "Cyst", scan).any()


def test_a_fractional_segment_is_cut_at_a_half(tmp_path):
    scan = scan_of()
    kind = SegmentationTypeValues.FRACTIONAL
    write_seg({"Tumor": MASKS["Tumor_1"]}, slices_of(scan), tmp_path / "seg.dcm", kind=kind)
    np.testing.assert_array_equal(pasted(tmp_path / "seg.dcm", "Tumor", scan), MASKS["Tumor_1"])


def test_what_is_no_segmentation(tmp_path):
    path = tmp_path / "seg.dcm"
    path.write_text("not DICOM")
    with pytest.raises(VolumeError, match="no DICOM segmentation, or it is damaged"):
        read_segments(path, ".*")
    slices_of(scan_of())[0].save_as(path, enforce_file_format=True)
    with pytest.raises(VolumeError, match="no DICOM segmentation, or it is damaged"):
        read_segments(path, ".*")
    write_seg(MASKS, slices_of(scan_of()), path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(VolumeError):
        read_segments(path, "Tumor_.*")


@given(
    places=st.lists(st.tuples(st.integers(0, 5999), st.integers(0, 255)), min_size=1, max_size=20)
)
@settings(max_examples=25)
def test_whatever_bytes_are_wrong_it_is_a_volume_error(sound, places):
    content = bytearray(sound.read_bytes())
    for place, byte in places:
        content[place] = byte
    path = sound.with_name("spoilt.dcm")
    path.write_bytes(content)
    with contextlib.suppress(VolumeError):
        assert read_segments(path, "Tumor_.*").GetPixelID() == sitk.sitkUInt8


def test_what_stands_in_a_number_s_place_is_told_nowhere(sound, tmp_path, caplog, recwarn):
    content = sound.read_bytes()
    head = struct.pack("<HH2s", 0x0020, 0x0032, b"DS")
    start = content.rindex(head) + 8
    (length,) = struct.unpack("<H", content[start - 2 : start])
    name = b"Doe^Jane".ljust(length)
    path = tmp_path / "seg.dcm"
    path.write_bytes(content[:start] + name + content[start + length :])
    with pytest.raises(VolumeError) as raised:
        read_segments(path, "Tumor_.*")
    assert "Doe" not in "".join([*traceback.format_exception(raised.value), caplog.text])
    assert not list(recwarn)
