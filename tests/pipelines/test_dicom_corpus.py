"""Series and outlines as hospitals have them, spoilt and odd, through all of screening."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_broken import (
    BROKEN,
    SAME_FRAME,
    SCANS,
    drawn_on,
    folder,
    noisy,
    one_more,
    renamed,
    structures,
)
from dicom_hospital import DicomHospital
from dicom_writer import save, set_elements, slices_of, write_seg
from highdicom.seg import SegmentationTypeValues
from hospital import READERS, SIZE_ZYX, abdomen, image
from pydicom.uid import ComprehensiveSRStorage, DeflatedExplicitVRLittleEndian, RLELossless

from coala_kedro.imaging.geometry import grid_differences

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def sound_pair(tmp_path_factory):
    return DicomHospital(tmp_path_factory.mktemp("pair"), SCANS).build()


@pytest.fixture
def hospital(sound_pair, tmp_path):
    shutil.copytree(sound_pair.root, tmp_path / "hospital")
    return DicomHospital(tmp_path / "hospital", SCANS)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_with_its_reason_and_the_rest_goes_on(hospital, name):
    spoil, *expected = BROKEN[name]
    spoil(hospital)
    let_the_choice_fit_the_other_scan(hospital)
    accepted, findings = hospital.screen()
    found = findings[findings["scan_id"] == "a_pre"]
    assert sorted(found["code"]) == sorted(expected)
    assert list(accepted["scan_id"]) == ["b_pre"]
    assert str(hospital.root) not in findings.to_csv()
    assert "Doe" not in findings.to_csv()


def let_the_choice_fit_the_other_scan(hospital):
    keywords = {"acquisition": "AcquisitionNumber", "number": "SeriesNumber"}
    series = hospital.scan_entry.get("series", {})
    made = hospital.series("b_pre")
    for slice_ in made:
        set_elements(slice_, {keywords[k]: v for k, v in series.items() if k in keywords})
    hospital.replace(made, "b_pre")


def bare(hospital):
    for path in folder(hospital).iterdir():
        path.write_bytes(path.read_bytes()[132:])


def compressed(syntax):
    def bring(hospital):
        made = hospital.series()
        for slice_ in made:
            slice_.compress(syntax, generate_instance_uid=False)
        hospital.replace(made)

    return bring


def deflated(hospital):
    made = hospital.series()
    for slice_ in made:
        slice_.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    hospital.replace(made)


def strays(hospital):
    for name in ("Thumbs.db", "desktop.ini", "VERSION", "viewer.exe", "dicomdir", "a.jpg"):
        (folder(hospital) / name).write_bytes(b"no DICOM")


def seg_of_kind(kind):
    def bring(hospital):
        crlm = abdomen(0)[2]
        labels = [f"{reader} tumour 1" for reader in READERS]
        if kind is SegmentationTypeValues.LABELMAP:  # its segments cannot overlap
            hospital.mask_entry["segments"] = dict.fromkeys(READERS, "reader_1 tumou?r.*")
            labels = labels[:1]
        write_seg(dict.fromkeys(labels, crlm), hospital.series(), hospital.seg("a_pre"), kind=kind)

    return bring


def every_second_slice(hospital):
    hospital.sparse = abdomen(0)[2] * (np.indices(SIZE_ZYX)[0] % 2)
    labels = [f"{reader} tumour 1" for reader in READERS]
    write_seg(dict.fromkeys(labels, hospital.sparse), hospital.series(), hospital.seg("a_pre"))
    hospital.mask_entry["resample"] = "nearest"


def second_phase(hospital):
    """The scan is the second phase; the other one is brighter."""
    first = renamed(noisy(hospital.series(), 5), "first", AcquisitionTime="100000")
    second = renamed(hospital.series(), "second", AcquisitionTime="100040")
    hospital.replace([*second, *first])
    save(renamed(hospital.series("b_pre"), "b", AcquisitionTime="09"), hospital.root / "b_pre/ct")
    save(
        renamed(noisy(hospital.series("b_pre"), 5), "b0", AcquisitionTime="08"),
        hospital.root / "b_pre/ct",
        [f"1{n:03d}.dcm" for n in range(13)],
    )
    hospital.scan_entry["series"] = {"phase": 2}


def a_whole_study(hospital):
    for scan_id in SCANS:
        made = hospital.series(scan_id)
        for slice_ in made:
            slice_.SeriesDescription = "Abd PV 5.0"
        scout = one_more(hospital, "scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        thin = one_more(hospital, "thin", 13, SliceThickness=1.0, SeriesDescription="Abd PV 1.0")
        report = one_more(hospital, "report", Modality="SR", SOPClassUID=ComprehensiveSRStorage)
        hospital.replace([*scout, *thin, *made, *report], scan_id)
    hospital.scan_entry["series"] = {"description": "(?i).*PV.*", "slice_thickness_mm": 5}


def lying(orientation, position):
    """The same patient, who lay otherwise, and whose outlines were drawn on that."""

    def bring(hospital):
        turned, crlm = (sitk.DICOMOrient(image(voxels), orientation) for voxels in abdomen(0)[::2])
        made = slices_of(
            turned, series="a_pre", PatientPosition=position, **hospital.day_of("a_pre")
        )
        hospital.replace(made[::-1])
        outlined = sitk.GetArrayFromImage(crlm)
        labels = [f"{reader} tumour 1" for reader in READERS]
        write_seg(dict.fromkeys(labels, outlined), made, hospital.seg("a_pre"))

    return bring


def private_objects(hospital):
    """Of a scanner, beside the slices: of its modality, without pixels."""
    made = one_more(hospital, "raw", 2, SOPClassUID="1.2.840.113619.4.27", PixelData=None)
    save(made, folder(hospital), ["raw_1", "raw_2"])


def noise_in_directions(hospital):
    made = hospital.series()
    for n, slice_ in enumerate(made):
        off = 5e-5 + (n % 2 - 0.5) * 1e-8
        set_elements(slice_, {"ImageOrientationPatient": [1, off, 0, -off, 1, 0]})
    hospital.replace(made)


def junk_in_high_bits(hospital):
    """Overlays were stored there."""
    made = hospital.series()
    for slice_ in made:
        pixels = np.frombuffer(slice_.PixelData, np.uint16)
        slice_.PixelData = (pixels | (0x8000 * (pixels % 2))).astype(np.uint16).tobytes()
        set_elements(slice_, {"BitsStored": 12, "HighBit": 11})
    hospital.replace(made)


def unlike_values(hospital):
    """Signed without a rescale and unsigned with one."""
    made = hospital.series()
    for slice_ in made[::2]:
        hu = np.frombuffer(slice_.PixelData, np.uint16).astype(np.int16) - 1024
        slice_.PixelData = hu.astype(np.int16).tobytes()
        set_elements(slice_, {"PixelRepresentation": 1, "RescaleIntercept": 0})
    hospital.replace(made)


ODD = {
    "prone": (lying("RAS", "HFP"),),
    "feet first": (lying("RPI", "FFS"),),
    "feet first, prone": (lying("LAI", "FFP"),),
    "on the right side": (lying("ALS", "HFDR"),),
    "on the left side, feet first": (lying("ARI", "FFDL"),),
    "a scanner's private objects": (private_objects, "other_files"),
    "directions that are rounded": (noise_in_directions,),
    "what is left in the high bits": (junk_in_high_bits,),
    "signed and unsigned slices": (unlike_values,),
    "slices without preamble": (bare,),
    "RLE": (compressed(RLELossless),),
    "deflated": (deflated,),
    "what Windows and CDs leave": (strays, "other_files"),
    "a whole study in a folder": (a_whole_study, "other_files"),
    "the second phase": (second_phase, "mask_images", "mask_images"),
    "fractional": (seg_of_kind(SegmentationTypeValues.FRACTIONAL),),
    "label map": (seg_of_kind(SegmentationTypeValues.LABELMAP),),
    "sparse frames": (every_second_slice,),
    "structures": (structures(),),
    "tilt that is none": (lambda h: h.scan_entry.update({"tilt": "resample"}),),
    "drawn on a series of the same frame": (
        drawn_on(**SAME_FRAME), "mask_series", "mask_series"),
    "axial steps as acquisitions": (
        lambda h: h.replace([
            set_elements(s, {"AcquisitionNumber": n}) or s for n, s in enumerate(h.series())]),),
    "files of any name": (
        lambda h: [p.rename(p.with_name(f"x{hash(p.name) % 99991}")) for p in folder(h).iterdir()],
        ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_sound_is_used_as_the_hospital_has_it(hospital, name):
    bring, *told = ODD[name]
    bring(hospital)
    accepted, findings = hospital.screen()
    found = findings[findings["scan_id"] == "a_pre"]
    assert sorted(found["code"]) == sorted(told), findings.to_string()
    assert set(found["severity"]) <= {"warn"}
    assert list(accepted["scan_id"]) == [*SCANS]
    scans, masks = hospital.imported(accepted)
    hu, _, crlm = abdomen(0)
    source = image(hu)
    assert_as(scans["a_pre"], source)
    for reader in READERS:
        assert_as(masks[f"{reader}/a_pre"], image(getattr(hospital, "sparse", crlm)))


def assert_as(made, expected):
    made = sitk.DICOMOrient(made, "LPS")
    assert grid_differences(made, expected) == []
    np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, (made, expected)))
