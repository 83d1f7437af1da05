"""Frames of a segmentation: where they lie, what they hold, and what they were drawn on."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_writer import save, slices_of, write_seg
from highdicom.seg import SegmentationTypeValues
from test_dicom_seg import MASKS, OBLIQUE, SHAPE, box, scan_of

from coala_kedro.imaging.dicom import series_origin
from coala_kedro.imaging.dicom_origin import Origin, compare_origins
from coala_kedro.imaging.dicom_seg import read_segments, seg_origin
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import grid_differences


def rewritten(path, change):
    """Write a segmentation again with its frames changed; `change` gets them and their pixels."""
    made = pydicom.dcmread(path)
    n, rows, columns = int(made.NumberOfFrames), made.Rows, made.Columns
    bits = made.BitsAllocated == 1
    content = np.frombuffer(made.PixelData, np.uint8)
    stored = np.unpackbits(content, bitorder="little") if bits else content
    frames = [*made.PerFrameFunctionalGroupsSequence]
    planes = [*stored[: n * rows * columns].reshape(n, rows, columns)]
    frames, planes = change(frames, planes)
    made.PerFrameFunctionalGroupsSequence = frames
    made.NumberOfFrames = len(frames)
    flat = np.concatenate([plane.ravel() for plane in planes])
    packed = np.packbits(flat, bitorder="little").tobytes() if bits else flat.tobytes()
    made.PixelData = packed + b"\0" * (len(packed) % 2)
    made.save_as(path)


def without_spacing(path):
    """Write a segmentation again without the distance from frame to frame."""
    made = pydicom.dcmread(path)
    measures = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    made.save_as(path)


def on_grid(path, scan, pattern=".*", **options):
    return sitk.GetArrayFromImage(read_segments(path, pattern, scan, **options))


SPARSE = {
    "every second slice": [1, 3, 5, 7],
    "irregular gaps": [0, 2, 3, 7],
    "one slice": [4],
    "the first and the last": [0, 7],
    "every third": [1, 4, 7],
}


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("order", [1, -1])
def test_sparse_frames_go_where_their_positions_say(tmp_path, name, order):
    """Resampled, every frame would be as thick as the gap to the next."""
    scan = scan_of(OBLIQUE)
    mask = np.zeros(SHAPE, np.uint8)
    mask[SPARSE[name], 3:6, 4:7] = 1
    path = tmp_path / "seg.dcm"
    write_seg({"Tumor": mask}, slices_of(scan), path)
    rewritten(path, lambda frames, planes: (frames[::order], planes[::order]))
    for resample in (False, True):
        np.testing.assert_array_equal(on_grid(path, scan, resample=resample), mask)
    without_spacing(path)
    for resample in (False, True):
        np.testing.assert_array_equal(on_grid(path, scan, resample=resample), mask)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_segments_that_overlap_are_merged(tmp_path, kind):
    scan = scan_of()
    masks = {"A 1": box((2, 5), (2, 7), (2, 7)), "A 2": box((3, 6), (4, 9), (4, 9))}
    masks |= {"B 1": box((3, 6), (4, 9), (4, 9))}
    path = tmp_path / "seg.dcm"
    write_seg(masks, slices_of(scan), path, kind=SegmentationTypeValues[kind])
    np.testing.assert_array_equal(on_grid(path, scan, "A .*"), masks["A 1"] | masks["A 2"])
    np.testing.assert_array_equal(on_grid(path, scan, "B .*"), masks["B 1"])


@pytest.mark.parametrize("kind", ["PROBABILITY", "OCCUPANCY"])
def test_a_fraction_of_its_own_maximum(tmp_path, kind):
    """Written by hand: many programs store other maxima than 255."""
    scan = scan_of()
    path = tmp_path / "seg.dcm"
    write_seg({"Tumor": MASKS["Tumor_1"]}, slices_of(scan), path,
              kind=SegmentationTypeValues.FRACTIONAL)  # fmt: skip
    made = pydicom.dcmread(path)
    made.SegmentationFractionalType, made.MaximumFractionalValue = kind, 100
    made.save_as(path)

    def change(frames, planes):
        fractions = [np.zeros_like(plane) for plane in planes]
        for plane in fractions:
            plane[4, 3:8] = [0, 49, 50, 51, 100]
        return frames, fractions

    rewritten(path, change)
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:4, 4, 5:8] = 1
    np.testing.assert_array_equal(on_grid(path, scan), expected)


def test_a_label_map_with_gaps_and_frames_in_any_order(tmp_path):
    scan = scan_of()
    masks = {"Tumor_1": MASKS["Tumor_1"], "Tumor_2": MASKS["Tumor_2"]}
    path = tmp_path / "seg.dcm"
    write_seg(masks, slices_of(scan), path, kind=SegmentationTypeValues.LABELMAP)
    rewritten(path, lambda frames, planes: (frames[::-1], planes[::-1]))
    np.testing.assert_array_equal(on_grid(path, scan), sum(masks.values()))
    np.testing.assert_array_equal(on_grid(path, scan, ".*2"), masks["Tumor_2"])


def test_frames_whose_bits_begin_within_a_byte(tmp_path):
    """15 x 13 pixels are no whole bytes."""
    noise = np.random.default_rng(1).integers(0, 2, (6, 15, 13)).astype(np.uint8)
    noise[3] = 0
    image = sitk.GetImageFromArray(np.zeros((6, 15, 13), np.int16))
    image.SetSpacing((1.0, 1.0, 3.0))
    write_seg({"Tumor": noise}, slices_of(image), tmp_path / "seg.dcm")
    np.testing.assert_array_equal(on_grid(tmp_path / "seg.dcm", image), noise)


def test_a_frame_that_comes_twice(tmp_path):
    scan = scan_of()
    path = tmp_path / "seg.dcm"
    write_seg({"Tumor": MASKS["Tumor_1"]}, slices_of(scan), path)
    rewritten(path, lambda f, p: ([*f, f[0]], [*p, p[0]]))
    np.testing.assert_array_equal(on_grid(path, scan), MASKS["Tumor_1"])
    rewritten(path, lambda f, p: (f, [*p[:-1], 1 - p[-1]]))
    with pytest.raises(VolumeError, match="lie at one place and differ"):
        read_segments(path, ".*", scan)


def test_positions_that_are_rounded_are_those_of_the_slices(tmp_path):
    """Slices of 0.625 mm whose positions are written with one decimal."""
    scan = scan_of()
    scan.SetSpacing((0.7, 0.8, 0.625))
    path = tmp_path / "seg.dcm"
    write_seg({"Tumor": MASKS["Tumor_1"]}, slices_of(scan), path)

    def change(frames, planes):
        for frame in frames:
            position = frame.PlanePositionSequence[0]
            x, y, z = position.ImagePositionPatient
            position.ImagePositionPatient = [x, y, round(float(z), 1)]
        return frames, planes

    rewritten(path, change)
    np.testing.assert_array_equal(on_grid(path, scan), MASKS["Tumor_1"])


@pytest.mark.parametrize("by_slices", [0.5, 0.3])
def test_frames_between_slices_are_on_another_grid(tmp_path, by_slices):
    scan = scan_of()
    path = tmp_path / "seg.dcm"
    write_seg({"Tumor": MASKS["Tumor_1"]}, slices_of(scan), path)
    scan.SetOrigin(scan.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, by_slices)))
    with pytest.raises(VolumeError) as raised:
        read_segments(path, ".*", scan)
    assert raised.value.code == "other_grid"
    assert on_grid(path, scan, resample=True).any()


def test_sparse_frames_of_a_thinner_series_are_not_taken_for_thick_slices(tmp_path):
    """Drawn on every fourth slice of 1 mm, for a scan of 2.5 mm: a fourth of it is told."""
    fine = sitk.GetImageFromArray(np.zeros((20, 10, 12), np.int16))
    fine.SetSpacing((0.7, 0.8, 1.0))
    mask = np.zeros((20, 10, 12), np.uint8)
    mask[2:18:4, 3:6, 4:7] = 1
    path = tmp_path / "seg.dcm"
    write_seg({"Tumor": mask}, slices_of(fine), path)
    without_spacing(path)
    scan = sitk.GetImageFromArray(np.zeros((8, 10, 12), np.int16))
    scan.SetSpacing((0.7, 0.8, 2.5))
    scan.SetOrigin((0, 0, 0.7))
    with pytest.raises(VolumeError, match="4 mm apart and 1 mm thick") as raised:
        read_segments(path, ".*", scan, resample=True)
    assert raised.value.code == "other_grid"


def test_voxels_outside_the_scan_are_told(tmp_path):
    scan = scan_of()
    path = tmp_path / "seg.dcm"
    write_seg({"Tumor": MASKS["Tumor_1"], "Liver": MASKS["Liver"]}, slices_of(scan), path)
    np.testing.assert_array_equal(on_grid(path, scan[:, :, 1:6], "Tumor"), MASKS["Tumor_1"][1:6])
    for part in (scan[:, :, 3:], scan[:, 4:, :], scan[4:, :, :]):
        with pytest.raises(VolumeError, match="lie outside the scan") as raised:
            read_segments(path, "Tumor", part)
        assert raised.value.code == "other_grid"


@pytest.fixture(scope="module")
def oblique_seg(tmp_path_factory):
    path = tmp_path_factory.mktemp("oblique") / "seg.dcm"
    write_seg(MASKS, slices_of(scan_of(OBLIQUE)), path)
    return path


@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_a_scan_that_is_stored_another_way(oblique_seg, flips):
    """The series as a NIfTI of whatever axes, its outlines as DICOM."""
    mask = sitk.GetImageFromArray(MASKS["Tumor_1"] | MASKS["Tumor_2"] | MASKS["Tumor_10"])
    mask.CopyInformation(scan_of(OBLIQUE))
    for axes in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)):
        turned = sitk.Flip(sitk.PermuteAxes(mask, axes), flips)
        placed = read_segments(oblique_seg, "Tumor.*", turned)
        assert grid_differences(placed, turned) == []
        np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, (placed, turned)))


def test_a_segmentation_without_preamble(tmp_path):
    scan = scan_of()
    path = tmp_path / "seg.dcm"
    write_seg(MASKS, slices_of(scan), path)
    path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(on_grid(path, scan, "Tumor_1"), MASKS["Tumor_1"])


def test_what_it_was_drawn_on_is_held_against_the_scan(tmp_path):
    """Facts are words: a UID leads back to the patient."""
    own = slices_of(scan_of(), series="own")
    frame = {"FrameOfReferenceUID": own[0].FrameOfReferenceUID}
    study = {"StudyInstanceUID": own[0].StudyInstanceUID}
    same_series = {"SeriesInstanceUID": own[0].SeriesInstanceUID}
    drawn_on = {
        "own": own,
        "part": own[2:5],
        "arterial": slices_of(scan_of(), series="arterial", **frame, **study),
        "stranger": slices_of(scan_of(), series="stranger"),
        "other phase": slices_of(scan_of(), series="phase", **frame, **study, **same_series),
    }
    save(own, tmp_path / "ct")
    scan, told = series_origin(tmp_path / "ct"), {}
    for name, slices in drawn_on.items():
        path = tmp_path / f"{name}.dcm"
        write_seg({"Tumor": MASKS["Tumor_1"][: len(slices)]}, slices, path)
        told[name] = compare_origins(seg_origin(path), scan)
    assert told == {
        "own": {},
        "part": {},
        "arterial": {"other_series": "another series of the same frame of reference"},
        "stranger": {"other_frame": "another frame of reference"},
        "other phase": {"other_images": "none of the scan's own images"},
    }
    assert compare_origins(seg_origin(tmp_path / "stranger.dcm"), Origin()) == {}
    made = pydicom.dcmread(tmp_path / "arterial.dcm")
    del made.FrameOfReferenceUID, made.ReferencedSeriesSequence
    made.save_as(tmp_path / "silent.dcm")
    assert compare_origins(seg_origin(tmp_path / "silent.dcm"), scan) == {}
