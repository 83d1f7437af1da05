"""Tilted gantries: a sphere of known volume, and outlines drawn on the tilted slices."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import save, slices_of, write_seg
from test_dicom import SOUND, assert_same, scan_of

from coala_kedro.imaging.dicom import inspect_series, read_series
from coala_kedro.imaging.dicom_seg import read_segments
from coala_kedro.imaging.geometry import volume_ml_per_voxel

CENTRE_MM, RADIUS_MM = np.array([3.0, -5.0, 40.0]), 17.0
SPHERE_ML = 4 / 3 * math.pi * RADIUS_MM**3 / 1000
ROWS, COLUMNS, N_SLICES, SPACING_MM, TABLE_MM = 70, 64, 36, 1.3, 2.5


def tilted_series(degrees):
    """Slices of a gantry that is tilted about the patient's left-right axis; the table moves on z.

    The voxels are the truth at each slice's own place: a bright sphere in soft tissue.
    """
    angle = math.radians(degrees)
    row = np.array([1.0, 0.0, 0.0])
    column = np.array([0.0, math.cos(angle), math.sin(angle)])
    across = np.cross(row, column)
    flat = sitk.GetImageFromArray(np.zeros((N_SLICES, ROWS, COLUMNS), np.int16))
    flat.SetSpacing((SPACING_MM, SPACING_MM, TABLE_MM))
    first_mm = CENTRE_MM - row * 40 - column * 45 - [0, 0, TABLE_MM * N_SLICES / 2]
    made = slices_of(flat, SliceThickness=TABLE_MM * math.cos(angle))
    masks = []
    for n, slice_ in enumerate(made):
        position = first_mm + np.array([0, 0, n * TABLE_MM])
        slice_.ImageOrientationPatient = [round(float(v), 9) for v in (*row, *column)]
        slice_.ImagePositionPatient = [round(float(v), 6) for v in position]
        y, x = np.indices((ROWS, COLUMNS)) * SPACING_MM
        places = position + x[..., None] * row + y[..., None] * column
        inside = np.linalg.norm(places - CENTRE_MM, axis=-1) < RADIUS_MM
        slice_.PixelData = (np.where(inside, 200, 0) + 1024).astype(np.uint16).tobytes()
        masks.append(inside)
    assert across[2] == pytest.approx(math.cos(angle))
    return made, np.array(masks)


@pytest.mark.parametrize("degrees", [0, 8, -15, 25])
def test_a_sphere_keeps_its_volume_and_place_once_the_tilt_is_corrected(tmp_path, degrees):
    made, masks = tilted_series(degrees)
    save(made, tmp_path / "ct")
    assert inspect_series(tmp_path / "ct")["tilt_degrees"] == abs(degrees)
    scan = read_series(tmp_path / "ct", correct_tilt=True)
    voxels = sitk.GetArrayFromImage(scan)
    assert float((voxels > 100).sum() * volume_ml_per_voxel(scan)) == pytest.approx(
        SPHERE_ML, rel=0.02
    )
    write_seg({"Tumor": masks}, made, tmp_path / "seg.dcm")
    mask = read_segments(tmp_path / "seg.dcm", "Tumor", scan, resample=True)
    inside = sitk.GetArrayFromImage(mask) > 0
    assert inside.sum() == masks.sum()  # No voxel is lost or doubled.
    assert inside.sum() * volume_ml_per_voxel(mask) == pytest.approx(SPHERE_ML, rel=0.02)
    for where in (voxels > 100, inside):
        centre = [axis.mean() for axis in np.nonzero(where)][::-1]
        off_mm = np.subtract(scan.TransformContinuousIndexToPhysicalPoint(centre), CENTRE_MM)
        assert np.abs(off_mm).max() < SPACING_MM / 2
    union = (voxels > 100) | inside
    assert ((voxels > 100) & inside).sum() / union.sum() > 0.95


def test_without_the_option_the_volume_would_be_another_and_it_is_told(tmp_path):
    made, _ = tilted_series(25)
    save(made, tmp_path)
    facts = inspect_series(tmp_path, correct_tilt=True)
    assert facts["corrected_tilt_degrees"] == 25
    assert "tilt_degrees" not in facts


def test_a_straight_series_is_left_as_it_is(tmp_path):
    save(slices_of(scan_of()), tmp_path)
    assert inspect_series(tmp_path, correct_tilt=True)["corrected_tilt_degrees"] == 0
    assert inspect_series(tmp_path) == SOUND
    assert_same(read_series(tmp_path, correct_tilt=True), scan_of())


def test_what_no_slice_covers_is_air(tmp_path):
    made, _ = tilted_series(20)
    save(made, tmp_path)
    voxels = sitk.GetArrayFromImage(read_series(tmp_path, correct_tilt=True))
    assert voxels.shape[1] > ROWS
    for plane in (voxels[0], voxels[-1]):
        assert (plane[:, 5] == 0).sum() in (ROWS - 1, ROWS)  # A row's edge is half air.
        assert (plane[:, 5] == -1024).any()
