from pathlib import Path

import dicom2nifti
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import save, set_elements, slices_of, uid, write_series
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from coala_kedro.imaging.dicom import inspect_series, read_series
from coala_kedro.imaging.files import VolumeError

REAL = Path(__file__).parents[3] / "shared" / "real_ct" / "dicom_series"
OBLIQUE = sitk.VersorTransform((0.3, -0.5, 0.8), 0.7).GetMatrix()
SOUND = {
    "n_files": 8, "n_unreadable_files": 0, "n_series": 1, "modality": "CT", "samples_per_pixel": 1,
    "is_localizer": False, "is_secondary_capture": False, "is_multiframe": False,
    "has_rescale": True, "n_slice_grids": 1, "n_orientations": 1, "n_slices": 8,
    "n_duplicate_slices": 0, "n_missing_slices": 0, "irregularity_mm": 0.0, "tilt_degrees": 0.0,
    "slice_thickness_mm": 2.5, "scanner": "Maker Model 1",
}  # fmt: skip


def scan_of(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1), n_slices=8):
    noise = np.random.default_rng(0).integers(-1000, 1000, (n_slices, 30, 36)).astype(np.int16)
    image = sitk.GetImageFromArray(noise)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 40.25, 7.5))
    image.SetDirection(direction)
    return image


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "series"


def assert_same(read, scan):
    assert read.GetSize() == scan.GetSize()
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(read, what)(), getattr(scan, what)(), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(scan))


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), OBLIQUE])
def test_a_sound_series_is_read_as_it_is(folder, direction):
    scan = scan_of(direction)
    write_series(scan, folder)
    assert inspect_series(folder) == SOUND
    read = read_series(folder)
    assert_same(read, scan)
    assert read.GetMetaDataKeys() == ()


def test_slices_are_sorted_by_position_whatever_their_names_and_numbers(folder):
    made = slices_of(scan_of())
    for number, slice_ in enumerate(made):
        slice_.InstanceNumber = 100 - number
    save(made[::-1], folder)
    assert inspect_series(folder) == SOUND
    assert_same(read_series(folder), scan_of())


def test_patients_who_lie_feet_first_or_on_their_belly(folder):
    for direction in ((-1, 0, 0, 0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0, 0, 0, 1)):
        write_series(scan_of(direction), folder)
        assert_same(read_series(folder), scan_of(direction))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_other_transfer_syntaxes(folder, syntax):
    made = slices_of(scan_of())
    for slice_ in made:
        if syntax is RLELossless:
            slice_.compress(RLELossless, generate_instance_uid=False)
        else:
            slice_.file_meta.TransferSyntaxUID = syntax
    save(made, folder)
    assert inspect_series(folder) == SOUND
    assert_same(read_series(folder), scan_of())


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -8192), (2, -1000)])
def test_whole_rescales_stay_whole_numbers(folder, slope, intercept):
    scan = sitk.Cast(scan_of() / 2, sitk.sitkInt16) * 2
    write_series(scan, folder, slope=slope, intercept=intercept)
    read = read_series(folder)
    assert "float" not in read.GetPixelIDTypeAsString()
    assert_same(read, scan)


def test_a_rescale_of_its_own_for_every_slice(folder):
    """As some PET-CT scanners write; GDCM alone would take the first slice's type."""
    made = slices_of(scan_of(), intercept=-1024)
    stored = [slice_.pixel_array.astype(float) for slice_ in made]
    for number, slice_ in enumerate(made):
        slice_.RescaleSlope = 0.5 + number / 4
    save(made, folder)
    expected = np.stack([(0.5 + n / 4) * plane - 1024 for n, plane in enumerate(stored)])
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_series(folder)), expected, atol=1e-3)


def test_one_slice(folder):
    write_series(scan_of(n_slices=1), folder)
    facts = inspect_series(folder)
    assert (facts["n_slices"], "tilt_degrees" in facts) == (1, False)
    assert_same(read_series(folder), scan_of(n_slices=1))


def test_no_file(folder):
    folder.mkdir()
    assert inspect_series(folder) == {"n_files": 0, "n_unreadable_files": 0}
    with pytest.raises(VolumeError, match="no DICOM file"):
        read_series(folder)


def without(*numbers):
    return lambda made: [slice_ for n, slice_ in enumerate(made) if n not in numbers]


def twice(number):
    return lambda made: [*made, made[number]]


def moved(number, by_mm):
    def change(made):
        x, y, z = made[number].ImagePositionPatient
        set_elements(made[number], {"ImagePositionPatient": [x, y, z + by_mm]})
        return made

    return change


def moved_sideways(made):
    """As where a reconstruction of another centre slipped in."""
    x, y, z = made[3].ImagePositionPatient
    set_elements(made[3], {"ImagePositionPatient": [x + 3, y - 4, z]})
    return made


def tilted(made):
    for n, slice_ in enumerate(made):
        x, y, z = slice_.ImagePositionPatient
        set_elements(slice_, {"ImagePositionPatient": [x, y + n * 0.5, z]})
    return made


def with_elements(numbers, **elements):
    def change(made):
        for number in numbers:
            set_elements(made[number], elements)
        return made

    return change


def several_frames(made):
    made[5].NumberOfFrames = 3
    made[5].PixelData = made[5].PixelData * 3
    return made


EVERY = range(8)
SPOILT = {
    "a slice left out": (without(3), {"n_missing_slices": 1, "n_slices": 7, "n_files": 7}),
    "two left out": (without(3, 4), {"n_missing_slices": 2, "n_slices": 6, "n_files": 6}),
    "one twice": (twice(2), {"n_duplicate_slices": 1, "n_files": 9}),
    "one moved": (moved(3, 0.6), {"irregularity_mm": 0.6}),
    "one moved sideways": (moved_sideways, {"irregularity_mm": 5.0}),
    "tilt": (tilted, {"tilt_degrees": 11.31}),
    "another modality": (with_elements(EVERY, Modality="MR"), {"modality": "MR"}),
    "two modalities": (with_elements([1], Modality="PT"), {"modality": "CT/PT"}),
    "two series": (
        with_elements([1, 2], SeriesInstanceUID=uid("other"), SeriesNumber=7),
        {"n_series": 2, "several_series":
            "phase 1, series 1: 6 slices of 2.5 mm; phase 1, series 7: 2 slices of 2.5 mm"}),
    "localizer": (
        with_elements([0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), {"is_localizer": True}),
    "secondary capture": (
        with_elements(EVERY, SOPClassUID=SecondaryCaptureImageStorage),
        {"is_secondary_capture": True}),
    "no rescale": (with_elements([4], RescaleSlope=None), {"has_rescale": False}),
    "empty rescale": (with_elements([4], RescaleSlope=""), {"has_rescale": False}),
    "rescale by 0": (with_elements([4], RescaleSlope=0), {"has_rescale": False}),
    "modality of two values": (with_elements([0], Modality=["CT", "PT"]), {"modality": "CT/PT"}),
    "two spacings": (with_elements([5], PixelSpacing=[0.9, 0.9]), {"n_slice_grids": 2}),
    "two directions": (
        with_elements([5], ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), {"n_orientations": 2}),
    "several frames": (several_frames, {"is_multiframe": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_is_in_the_facts_and_nothing_else(folder, name):
    spoil, expected = SPOILT[name]
    save(spoil(slices_of(scan_of())), folder)
    facts = inspect_series(folder)
    assert {key: facts[key] for key in facts if facts[key] != SOUND.get(key)} == expected


@pytest.mark.parametrize("name", ["two series", "two spacings", "two directions"])
def test_what_is_no_single_series_is_not_read(folder, name):
    save(SPOILT[name][0](slices_of(scan_of())), folder)
    with pytest.raises(VolumeError, match="no series of slices: there are 2 "):
        read_series(folder)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real series lies beside the project")
def test_a_real_series_lies_where_dicom2nifti_and_simpleitk_put_it(tmp_path):
    facts = inspect_series(REAL)
    assert (facts["n_slices"], facts["n_unreadable_files"], facts["irregularity_mm"]) == (20, 0, 0)
    read = read_series(REAL)
    assert_same(read, sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(REAL))))
    dicom2nifti.dicom_series_to_nifti(str(REAL), str(tmp_path / "theirs.nii"))
    sitk.WriteImage(read, str(tmp_path / "ours.nii"))
    ours, theirs = (
        nibabel.as_closest_canonical(nibabel.load(tmp_path / f"{name}.nii"))
        for name in ("ours", "theirs")
    )
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
    np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())
