"""A hospital that brings DICOM series and segmentations, sound and spoilt."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_hospital import DicomHospital
from dicom_writer import set_elements, slices_of, uid, write_seg
from hospital import READERS, Hospital, abdomen, image, truncate
from pydicom.uid import SecondaryCaptureImageStorage

from coala_kedro.imaging.geometry import grid_differences

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def sound_hospital(tmp_path_factory):
    return DicomHospital(tmp_path_factory.mktemp("dicom")).build()


@pytest.fixture
def hospital(sound_hospital, tmp_path):
    shutil.copytree(sound_hospital.root, tmp_path / "hospital")
    return DicomHospital(tmp_path / "hospital")


def test_a_sound_hospital_is_accepted_with_what_its_headers_tell(hospital):
    accepted, findings = hospital.screen()
    assert findings.empty
    assert list(accepted["scan_id"]) == ["a_post", "a_pre", "b_pre"]
    assert set(accepted["scanner"]) == {"Maker Model 1"}
    assert set(accepted["slice_thickness_mm"]) == {5.0}


def spoiled(change):
    """Write the series again with its slices changed."""

    def spoil(hospital):
        made = hospital.series()
        hospital.replace(change(made) or made)

    return spoil


def all_with(**elements):
    return spoiled(lambda made: [set_elements(slice_, elements) for slice_ in made] and made)


def one_with(**elements):
    return spoiled(lambda made: set_elements(made[4], elements))


def move(by_mm, *axis):
    def change(made):
        for n, slice_ in enumerate(made):
            x, y, z = slice_.ImagePositionPatient
            place = [x, y + n * by_mm, z] if axis else [x, y, z + (by_mm if n == 4 else 0)]
            set_elements(slice_, {"ImagePositionPatient": place})

    return spoiled(change)


def in_colour(made):
    for slice_ in made:
        grey = slice_.PixelData[::2]
        slice_.PixelData = bytes(np.repeat(np.frombuffer(grey, np.uint8), 3))
        set_elements(
            slice_,
            {
                "SOPClassUID": SecondaryCaptureImageStorage, "SamplesPerPixel": 3,
                "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0,
                "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
            },
        )  # fmt: skip


def several_frames(made):
    made[4].NumberOfFrames = 2
    made[4].PixelData = made[4].PixelData * 2


def rename_segments(hospital):
    labels = ["reader_1 tumor", "somebody's"]
    write_seg(dict.fromkeys(labels, abdomen(1)[2]), hospital.series(), hospital.seg("a_pre"))


def seg_of_another_scan(hospital):
    hu, _, crlm = abdomen(1)
    elsewhere = slices_of(image(hu, origin_mm=(1.0, 0, 2.0)), series="elsewhere")
    write_seg({f"{r} tumour": crlm for r in READERS}, elsewhere, hospital.seg("a_pre"))


def empty_folder(hospital):
    """Only what is no image is left in it."""
    hospital.replace([])
    (hospital.root / "a_pre" / "ct" / "LICENSE.txt").touch()


def after_all(*steps):
    return lambda hospital: [step(hospital) for step in steps]


def in_table(**given):
    return lambda hospital: setattr(hospital, "table", hospital.table.assign(**given))


def with_two_patients(made):
    for number, slice_ in enumerate(made):
        slice_.PatientID = f"P{number // 7}"


def with_two_frames(made):
    for slice_ in made[7:]:
        slice_.FrameOfReferenceUID = uid("after the patient moved")


BROKEN = {
    "two frames of reference": (spoiled(with_two_frames), "several_frames_of_reference"),
    "iodine in mg/mL": (all_with(RescaleType="MGML"), "no_hu"),
    "effective atomic numbers": (all_with(RescaleType="Z_EFF"), "no_hu"),
    "one slice of electron densities": (one_with(RescaleType="ED"), "no_hu"),
    "another spacing of slices": (all_with(SpacingBetweenSlices=2.5), "other_slice_spacing"),
    "a gap for a spacing": (all_with(SpacingBetweenSlices=0.5), "other_slice_spacing"),
    "slices of 1 mm every 5 mm": (all_with(SliceThickness=1), "slices_apart"),
    "spacing of the detector": (all_with(ImagerPixelSpacing=[1.0, 1.0]), "other_pixel_spacing"),
    "two patients": (spoiled(with_two_patients), "several_patients"),
    "a man in the table": (in_table(sex=["F", "M", "F"]), "other_sex", "sex_changes"),
    "a woman in the headers": (after_all(in_table(sex="M"), all_with(PatientSex="F")), "other_sex"),
    "another age": (after_all(in_table(age_years=60), all_with(PatientAge="035Y")), "other_age"),
    "another birth": (
        after_all(in_table(age_years=60), all_with(PatientBirthDate="19430217")),
        "other_age",
    ),
    "another day": (all_with(StudyDate="20200131"), "other_date"),
    "another year": (all_with(StudyDate="20190201", SeriesDate="20190201"), "other_date"),
    "MR": (all_with(Modality="MR"), "not_ct"),
    "PET and CT": (one_with(Modality="PT"), "not_ct"),
    "RGB secondary capture": (spoiled(in_colour), "secondary_capture", "not_grey"),
    "localiser": (one_with(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer"),
    "two series": (one_with(SeriesInstanceUID=uid("other")), "several_series"),
    "slice missing": (spoiled(lambda made: made[:4] + made[5:]), "missing_slices"),
    "slice twice": (spoiled(lambda made: [*made, made[4]]), "duplicate_slices"),
    "irregular": (move(1.5), "irregular_slices"),
    "tilted gantry": (move(1.0, "y"), "tilted"),
    "two directions": (one_with(ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "mixed_orientations"),
    "two spacings": (one_with(PixelSpacing=[1.9, 1.9]), "mixed_slice_sizes"),
    "no rescale": (all_with(RescaleSlope=None, RescaleIntercept=None), "no_rescale", "no_air"),
    "several frames": (spoiled(several_frames), "multiframe"),
    "file cut off": (lambda h: truncate(h.slice(4)), "damaged_files", "missing_slices"),
    "file of text": (lambda h: h.slice(99).write_text("?"), "damaged_files"),
    "no position": (all_with(ImagePositionPatient=None), "unreadable"),
    "no image at all": (empty_folder, "other_files", "unreadable"),
    "few slices": (spoiled(lambda made: made[3:11]), "few_slices", "short"),
    "mask cut off": (lambda h: truncate(h.seg("a_pre")), "mask_unreadable", "mask_unreadable"),
    "no such segment": (rename_segments, "no_segment"),
    "segmentation of another scan": (
        seg_of_another_scan, "mask_frame", "mask_frame", "mask_grid", "mask_grid"),
    "no segmentation": (lambda h: h.seg("a_pre").unlink(), "no_reader"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_with_its_reason_and_the_rest_goes_on(hospital, name):
    spoil, *expected = BROKEN[name]
    spoil(hospital)
    accepted, findings = hospital.screen()
    found = findings[findings["scan_id"] == "a_pre"]
    assert sorted(found["code"]) == sorted(expected)
    kept = ["a_post", "b_pre"]
    if not (found["severity"] == "refuse").any():
        kept.append("a_pre")
    assert sorted(accepted["scan_id"]) == sorted(kept)
    assert str(hospital.root) not in findings.to_csv()


@pytest.mark.parametrize("scan_id", ["a_pre", "b_pre"])
def test_scan_and_masks_are_those_of_the_same_hospital_in_nifti(hospital, tmp_path, scan_id):
    plain = Hospital(tmp_path / "plain").build()
    usable, _ = hospital.accept()
    plain_usable, _ = plain.accept()
    (ours, our_masks), (theirs, their_masks) = (
        one.imported(table) for one, table in ((hospital, usable), (plain, plain_usable))
    )
    pairs = [(ours[scan_id], theirs[scan_id])]
    pairs += [(our_masks[f"{r}/{scan_id}"], their_masks[f"{r}/{scan_id}"]) for r in READERS]
    for one, other in pairs:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))
        assert grid_differences(one, other) == []
