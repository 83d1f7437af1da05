"""Outlines of radiotherapy planning, held against solids of known volume and SimpleITK's fill."""

import copy
import math

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_writer import save, slices_of, uid, write_rtstruct
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from skimage.measure import grid_points_in_poly

from coala_kedro.imaging.dicom import series_origin
from coala_kedro.imaging.dicom_origin import compare_origins
from coala_kedro.imaging.dicom_rtstruct import read_structures, rtstruct_origin
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.geometry import grid_differences, volume_ml_per_voxel
from coala_kedro.imaging.planes import fill_polygon

SHAPE, SPACING_MM = (24, 70, 64), (1.1, 0.9, 2.5)
OBLIQUE = sitk.VersorTransform((0.3, -0.5, 0.8), 0.7).GetMatrix()
SQUARE = [(9.5, 9.5), (29.5, 9.5), (29.5, 29.5), (9.5, 29.5)]
"""Corners as column, row."""


def scan_of(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    scan = sitk.GetImageFromArray(np.zeros(SHAPE, np.int16))
    scan.SetSpacing(SPACING_MM)
    scan.SetOrigin((-32.5, 40.25, 7.5))
    scan.SetDirection(direction)
    return scan


def contour(scan, slice_, corners):
    """A closed contour (N, 3; xyz, LPS, mm) of corners (column, row) on a slice."""
    return [scan.TransformContinuousIndexToPhysicalPoint((float(x), float(y), float(slice_)))
            for x, y in corners]  # fmt: skip


def circle(centre, radius_mm, n=90):
    turn = np.linspace(0, 2 * math.pi, n, endpoint=False)
    return [
        (centre[0] + radius_mm / SPACING_MM[0] * math.cos(t),
         centre[1] + radius_mm / SPACING_MM[1] * math.sin(t)) for t in turn
    ]  # fmt: skip


def sphere(scan, radius_mm, slices=range(SHAPE[0]), middle=11.5):
    """Contours of a ball about the scan's middle, as a planning system stores them."""
    made = []
    for slice_ in slices:
        height_mm = (slice_ - middle) * SPACING_MM[2]
        if abs(height_mm) < radius_mm:
            across_mm = math.sqrt(radius_mm**2 - height_mm**2)
            made.append(contour(scan, slice_, circle((31.3, 34.8), across_mm)))
    return made


def read(path, scan, pattern=".*", **options):
    mask = read_structures(path, pattern, scan, **options)
    assert grid_differences(mask, scan) == []
    assert mask.GetPixelID() == sitk.sitkUInt8
    return sitk.GetArrayFromImage(mask)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rs.dcm"


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), OBLIQUE])
@pytest.mark.parametrize("radius_mm", [8.0, 20.0])
def test_a_ball_has_its_volume_and_place(path, direction, radius_mm):
    scan = scan_of(direction)
    write_rtstruct({"GTV": sphere(scan, radius_mm)}, slices_of(scan), path)
    mask = read(path, scan)
    expected_ml = 4 / 3 * math.pi * radius_mm**3 / 1000
    assert mask.sum() * volume_ml_per_voxel(scan) == pytest.approx(expected_ml, rel=0.025)
    centre = [axis.mean() for axis in np.nonzero(mask)][::-1]
    np.testing.assert_allclose(centre, (31.3, 34.8, 11.5), atol=0.1)


def test_a_hollow_cylinder_of_two_contours_or_of_one_with_a_channel(path):
    """Holes are inner contours, or one that goes in, around and out again (PS3.3 C.8.8.6)."""
    scan = scan_of()
    outer, inner = circle((31, 35), 20), circle((31, 35), 10)
    keyhole = [*outer, outer[0], inner[0], *inner[::-1]]
    two = [contour(scan, z, ring) for z in range(4, 14) for ring in (inner, outer)]
    one = [contour(scan, z, keyhole) for z in range(4, 14)]
    write_rtstruct({"two": two, "one": one}, slices_of(scan), path)
    hollow = read(path, scan, "two")
    expected_ml = math.pi * (20**2 - 10**2) * 10 * SPACING_MM[2] / 1000
    assert hollow.sum() * volume_ml_per_voxel(scan) == pytest.approx(expected_ml, rel=0.01)
    np.testing.assert_array_equal(read(path, scan, "one"), hollow)


def test_contours_of_one_slice(path):
    """An island in a hole; two that touch; two that cross; one that is there twice."""
    scan = scan_of()
    rings = [circle((31, 35), r) for r in (24, 16, 8)]
    moved = [(x + 10, y + 5) for x, y in SQUARE]
    beside = [(x + 20, y) for x, y in SQUARE]
    write_rtstruct(
        {
            "island": [contour(scan, 5, ring) for ring in rings],
            "touching": [contour(scan, 6, SQUARE), contour(scan, 6, beside)],
            "crossing": [contour(scan, 7, SQUARE), contour(scan, 7, moved)],
            "twice": [contour(scan, 8, SQUARE), contour(scan, 8, SQUARE)],
        },
        slices_of(scan),
        path,
    )
    masks = {
        name: read(path, scan, name).sum((1, 2))
        for name in ("island", "touching", "crossing", "twice")
    }
    area = math.pi * (24**2 - 16**2 + 8**2) / (SPACING_MM[0] * SPACING_MM[1])
    assert masks["island"][5] == pytest.approx(area, rel=0.02)
    assert masks["touching"][6] == 2 * 20 * 20
    assert masks["crossing"][7] == 2 * 20 * 20 - 10 * 15
    assert masks["twice"][8] == 20 * 20
    assert all(np.count_nonzero(areas) == 1 for areas in masks.values())


def test_regions_are_chosen_by_name_and_merged(path):
    scan = scan_of()
    left, right = SQUARE, [(x + 30, y) for x, y in SQUARE]
    regions = {"GTV 1": left, "GTV 2": right, "GTV 2 PRV": [(0, 0), (5, 0), (5, 5)]}
    write_rtstruct(
        {name: [contour(scan, z, corners) for z in (3, 4)] for name, corners in regions.items()},
        slices_of(scan),
        path,
    )
    assert read(path, scan, r"GTV \d").sum() == 2 * 2 * 400
    with pytest.raises(VolumeError, match="none of its 3 segments") as raised:
        read(path, scan, "Tumou?r")
    assert raised.value.code == "no_segment"


def test_half_a_slice_off_the_volume_is_not_guessed(path):
    drawn_on, scan = scan_of(), scan_of()
    write_rtstruct({"GTV": sphere(drawn_on, 20)}, slices_of(drawn_on), path)
    scan.SetOrigin(scan.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, 0.4)))
    with pytest.raises(VolumeError, match=r"between the scan's slices: they are 2\.5 mm") as told:
        read(path, scan)
    assert told.value.code == "other_grid"
    ml = read(path, scan, resample=True).sum() * volume_ml_per_voxel(scan)
    assert ml == pytest.approx(4 / 3 * math.pi * 8, rel=0.025)


@pytest.mark.parametrize("every", [2, 3])
def test_contours_on_every_second_slice_are_no_half_lesion(path, every):
    """Planning systems draw what lies between; the file holds what was outlined."""
    scan = scan_of()
    write_rtstruct({"GTV": sphere(scan, 25, range(1, 24, every))}, slices_of(scan), path)
    with pytest.raises(VolumeError, match="leave slices out") as told:
        read(path, scan)
    assert told.value.code == "other_grid"
    ml = read(path, scan, resample=True).sum() * volume_ml_per_voxel(scan)
    assert ml == pytest.approx(4 / 3 * math.pi * 25**3 / 1000, rel=0.05)


def test_contours_of_a_finer_series(path):
    scan = scan_of()
    fine = np.arange(0, 24, 0.4)
    write_rtstruct({"GTV": sphere(scan, 20, fine)}, slices_of(scan), path)
    with pytest.raises(VolumeError, match="between the scan's slices"):
        read(path, scan)
    ml = read(path, scan, resample=True).sum() * volume_ml_per_voxel(scan)
    assert ml == pytest.approx(4 / 3 * math.pi * 8, rel=0.025)


def test_contours_that_no_scan_of_this_kind_has(path):
    scan = scan_of()
    upright = [(-10.0, 60.0, 10.0), (10.0, 60.0, 10.0), (10.0, 70.0, 60.0)]
    write_rtstruct({"GTV": [upright]}, slices_of(scan), path)
    with pytest.raises(VolumeError, match="across the scan's slices"):
        read(path, scan)
    write_rtstruct({"GTV": [contour(scan, 40, SQUARE)]}, slices_of(scan), path)
    with pytest.raises(VolumeError, match="1 of its planes lie outside the scan"):
        read(path, scan)
    write_rtstruct({"GTV": [contour(scan, 4, SQUARE)]}, slices_of(scan), path, kind="OPEN_PLANAR")
    with pytest.raises(VolumeError, match="not closed"):
        read(path, scan)
    write_rtstruct({"GTV": [contour(scan, 4, SQUARE[:1])]}, slices_of(scan), path, kind="POINT")
    assert not read(path, scan).any()
    write_rtstruct({"GTV": []}, slices_of(scan), path)
    assert not read(path, scan).any()


@pytest.mark.parametrize("direction", [(0, 0, 1, 1, 0, 0, 0, 1, 0), OBLIQUE])
def test_a_scan_whose_axes_are_stored_another_way(path, direction):
    scan = scan_of(direction)
    write_rtstruct({"GTV": sphere(scan, 20)}, slices_of(scan), path)
    mask = sitk.GetImageFromArray(read(path, scan))
    mask.CopyInformation(scan)
    for axes in ((1, 0, 2), (2, 1, 0), (1, 2, 0)):
        turned = sitk.Flip(sitk.PermuteAxes(scan, axes), (True, False, True))
        expected = sitk.Flip(sitk.PermuteAxes(mask, axes), (True, False, True))
        np.testing.assert_array_equal(read(path, turned), sitk.GetArrayFromImage(expected))


def test_what_is_no_structure_set(path):
    path.write_text("not DICOM")
    with pytest.raises(VolumeError, match="no RT structure set, or it is damaged"):
        read_structures(path, ".*", scan_of())
    slices_of(scan_of())[0].save_as(path, enforce_file_format=True)
    with pytest.raises(VolumeError, match="no RT structure set, or it is damaged"):
        read_structures(path, ".*", scan_of())
    write_rtstruct({"GTV": sphere(scan_of(), 20)}, slices_of(scan_of()), path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(VolumeError, match="no RT structure set, or it is damaged"):
        read_structures(path, ".*", scan_of())


def test_it_is_held_against_the_scan_by_series_and_frame(tmp_path, path):
    own = slices_of(scan_of(), series="own")
    save(own, tmp_path / "ct")
    scan = series_origin(tmp_path / "ct")
    frame = {"FrameOfReferenceUID": own[0].FrameOfReferenceUID}
    drawn_on = {
        "own": own,
        "planning": slices_of(scan_of(), series="planning", **frame),
        "stranger": slices_of(scan_of(), series="stranger"),
    }
    told, ball = {}, sphere(scan_of(), 8)
    for name, slices in drawn_on.items():
        write_rtstruct({"GTV": ball}, slices, path)
        told[name] = [*compare_origins(rtstruct_origin(path), scan)]
    assert told == {"own": [], "planning": ["other_series"], "stranger": ["other_frame"]}
    made = pydicom.dcmread(path)
    del made.ReferencedFrameOfReferenceSequence
    for roi in made.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = uid("another")
    made.save_as(path)
    assert [*compare_origins(rtstruct_origin(path), scan)] == ["other_frame"]


def test_regions_of_other_frames_in_one_file_are_held_against_their_own(tmp_path, path):
    own = slices_of(scan_of(), series="own")
    save(own, tmp_path / "ct")
    ball = sphere(scan_of(), 20)
    write_rtstruct({"on the CT": ball, "on the MR": ball}, own, path)
    made = pydicom.dcmread(path)
    (frame,) = made.ReferencedFrameOfReferenceSequence
    other = copy.deepcopy(frame)
    other.FrameOfReferenceUID = uid("MR")
    made.ReferencedFrameOfReferenceSequence.append(other)
    made.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = uid("MR")
    made.save_as(path)
    scan = series_origin(tmp_path / "ct")
    assert compare_origins(rtstruct_origin(path, "on the CT"), scan) == {}
    assert [*compare_origins(rtstruct_origin(path, "on the MR"), scan)] == ["other_frame"]
    with pytest.raises(VolumeError) as told:
        rtstruct_origin(path, "elsewhere")
    assert told.value.code == "no_segment"


@given(
    corners=npst.arrays(int, st.tuples(st.integers(3, 9), st.just(2)), elements=st.integers(-3, 18))
)
@settings(max_examples=60)
def test_a_polygon_is_filled_as_scikit_image_fills_it(corners):
    """No edge goes through a centre: such a one is inside there, and half of them are here."""
    corners = corners + np.array([math.sqrt(2), math.sqrt(3)]) / 50
    shape = (16, 16)
    theirs = grid_points_in_poly(shape, corners[:, ::-1], binarize=False) == 1
    np.testing.assert_array_equal(fill_polygon(corners, shape), theirs)
