"""Contours that a planning system writes twice, across each other, or far apart."""

import numpy as np
import pytest
from dicom_writer import slices_of, write_rtstruct
from test_dicom_rtstruct import SQUARE, contour, read, scan_of, sphere

from coala_kedro.imaging.files import VolumeError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rs.dcm"


TWICE = {
    "beginning elsewhere": lambda ring: ring[20:] + ring[:20],
    "the other way round": lambda ring: ring[::-1],
    "joined to its first point": lambda ring: [*ring, ring[0]],
    "rounded": lambda ring: np.round(ring, 2).tolist(),
}


@pytest.mark.parametrize("how", TWICE)
def test_a_contour_that_is_there_twice_is_no_hole_in_itself(path, how):
    scan = scan_of()
    once = sphere(scan, 20)
    write_rtstruct({"GTV": once}, slices_of(scan), path)
    expected = read(path, scan)
    write_rtstruct({"GTV": once + [TWICE[how](ring) for ring in once]}, slices_of(scan), path)
    np.testing.assert_array_equal(read(path, scan), expected)


def test_contours_of_the_kind_xor_leave_out_what_lies_in_two_of_them(path):
    scan = scan_of()
    across = [(19.5, 9.5), (39.5, 9.5), (39.5, 29.5), (19.5, 29.5)]
    both = [contour(scan, 4, SQUARE), contour(scan, 4, across)]
    for kind, columns in (
        ("CLOSED_PLANAR", [*range(10, 40)]),
        ("CLOSEDPLANAR_XOR", [*range(10, 20), *range(30, 40)]),
    ):
        write_rtstruct({"GTV": both}, slices_of(scan), path, kind=kind)
        mask = read(path, scan)
        assert np.flatnonzero(mask[4].any(axis=0)).tolist() == columns
        assert mask.sum() == 20 * len(columns)


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("slices", [[3], [3, 9], [3, 9, 15]])
def test_lesions_of_one_slice_each_stay_as_thin_as_they_are(path, slices, resample):
    scan = scan_of()
    drawn = [contour(scan, z, np.add(SQUARE, (0, 2 * z))) for z in slices]
    drawn = drawn[:2] + [contour(scan, z, np.add(SQUARE, (25, 0))) for z in slices[2:]]
    if len(slices) > 2:
        drawn[1] = contour(scan, slices[1], np.add(SQUARE, (-5, 35)))
    write_rtstruct({"GTV": drawn}, slices_of(scan), path)
    mask = read(path, scan, resample=resample)
    assert mask.any(axis=(1, 2)).nonzero()[0].tolist() == slices
    assert mask.sum() == 400 * len(slices)


def test_what_lies_in_a_wide_gap_is_not_guessed(path):
    scan = scan_of()
    drawn = [contour(scan, z, SQUARE) for z in (3, 8, 13)]
    write_rtstruct({"GTV": drawn}, slices_of(scan), path)
    for resample in (False, True):
        with pytest.raises(VolumeError, match="leave slices out") as told:
            read(path, scan, resample=resample)
        assert told.value.code == "other_grid"
    assert "cannot be resampled" in str(told.value)
