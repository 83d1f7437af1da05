"""Inputs that are odd but sound pass, and what the study uses is what the hospital has."""

import numpy as np
import pytest
import SimpleITK as sitk
from abdomens import ODD_ABDOMENS
from broken import as_label_files, as_slicer_files, rewrite
from dicom_writer import save, slices_of, write_seg
from hospital import LIVER, READERS, SIZE_ZYX, Hospital, abdomen, image, write
from slicer_writer import write_seg_nrrd
from stored_oddly import STORED

from coala_kedro.datasets import HospitalVolumesDataset
from coala_kedro.imaging.consensus import majority_vote, staple
from coala_kedro.imaging.geometry import grid_differences, paste_on_grid

pytestmark = pytest.mark.slow

OBLIQUE = sitk.VersorTransform((0.2, -0.1, 0.9), 0.15).GetMatrix()


def volume(voxels, spacing_mm=(2.0, 2.0, 5.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    made = image(voxels, spacing_mm, origin_mm=(-101.5, 55.25, 12.75))
    made.SetDirection(direction)
    return made


def lying(orientation):
    """The same patient, stored otherwise."""
    return lambda made: sitk.DICOMOrient(made, orientation)


def many_lesions():
    """35 lesions, some of one voxel, one that touches another by an edge."""
    crlm = np.zeros(SIZE_ZYX, np.uint8)
    places = [(z, y, x) for z in (3, 5, 7, 9) for y in (40, 50, 60) for x in (20, 30, 40)]
    for n, (z, y, x) in enumerate(places[:34]):
        crlm[z, y : y + 1 + n % 3, x : x + 1 + n % 2] = 1
    crlm[4, 41, 21] = 1
    return crlm


def one_voxel():
    crlm = np.zeros(SIZE_ZYX, np.uint8)
    crlm[6, 50, 30] = 1
    return crlm


def more_slices(array, times):
    return np.repeat(array, times, axis=0)


class Odd(Hospital):
    """One scan of the test's making, beside the others."""

    scan_id = "a_pre"

    def put(self, change=lambda made: made, crlm=None, suffix=".nii.gz", **grid):
        hu, organs, outlined = abdomen(1)
        outlined = outlined if crlm is None else crlm
        times = grid.pop("slices", 1)
        dtype = grid.pop("dtype", np.int16)
        hu, organs, outlined = (more_slices(a, times) for a in (hu, organs, outlined))
        self.source = change(volume(hu.astype(dtype), **grid))
        self.outline = change(volume(outlined, **grid))
        for path in (self.scan(self.scan_id), *(self.mask(r, self.scan_id) for r in READERS)):
            path.unlink()
        write(self.source, self.scan(self.scan_id).with_name(f"a_pre{suffix}"))
        write(change(volume(organs, **grid)), self.organs(self.scan_id))
        for reader in READERS:
            write(self.outline, self.mask(reader, self.scan_id).with_name(f"a_pre{suffix}"))
        self.scan_entry["pattern"] = "{scan_id}.*"
        self.mask_entry["pattern"] = "{reader}/{scan_id}.*"

    def assert_untouched(self):
        accepted, findings = self.screen()
        assert findings.empty, findings.to_string()
        assert self.scan_id in set(accepted["scan_id"])
        scans, masks = self.imported(accepted)
        pairs = [(scans[self.scan_id], self.source)]
        pairs += [(masks[f"{reader}/{self.scan_id}"], self.outline) for reader in READERS]
        for used, brought in pairs:
            assert grid_differences(used, brought) == []
            np.testing.assert_array_equal(
                sitk.GetArrayFromImage(used), sitk.GetArrayFromImage(brought)
            )


@pytest.fixture
def hospital(tmp_path):
    return Odd(tmp_path).build()


ODD = {
    "RAS": {"change": lying("RAS")},
    "axes exchanged": {"change": lambda made: sitk.PermuteAxes(made, (1, 0, 2))},
    "LAS, as dcm2niix makes it": {"change": lying("LAS")},
    "coronal slices": {"change": lying("LSA")},
    "sagittal slices": {"change": lying("PIR")},
    "coronal float64, tilted": {"change": lying("RSP"), "direction": OBLIQUE, "dtype": np.float64},
    "sagittal NRRD": {"change": lying("ASL"), "suffix": ".nrrd"},
    "oblique": {"direction": OBLIQUE},
    "upside down": {"change": lambda made: sitk.Flip(made, (False, False, True))},
    "int32": {"dtype": np.int32},
    "float32": {"dtype": np.float32},
    "float64": {"dtype": np.float64},
    "slices of 0.6 mm": {"spacing_mm": (2.0, 2.0, 0.6), "slices": 9},
    "slices of 8 mm": {"spacing_mm": (2.0, 2.0, 8.0)},
    "one-voxel lesion": {"crlm": one_voxel()},
    "35 lesions": {"crlm": many_lesions()},
    "NRRD": {"suffix": ".nrrd"},
    "MetaImage": {"suffix": ".mha"},
    "uncompressed NIfTI": {"suffix": ".nii"},
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_sound_passes_untouched(hospital, name):
    hospital.put(**ODD[name])
    hospital.assert_untouched()


def one_file_of_both_readers(hospital):
    """1 is the liver, 2 what both readers saw, 3 one reader's liver cyst."""
    _, organs, crlm = abdomen(1)
    labels = np.where(crlm == 1, 2, organs == LIVER).astype(np.int16)
    labels[9, 36, 13] = 3
    for scan_id in hospital.table["scan_id"]:
        write(image(labels), hospital.root / "labels" / f"{scan_id}.nii.gz")
    hospital.mask_entry = {
        "path": str(hospital.root / "labels"), "values": {"reader_1": 2, "reader_2": 2}
    }  # fmt: skip


def one_cropped_segment(hospital):
    for scan_id in hospital.table["scan_id"]:
        for reader in READERS:
            path = hospital.mask(reader, scan_id)
            path.unlink()
            path = path.with_name(f"{scan_id}.seg.nrrd")
            write_seg_nrrd({"Segment_1": abdomen(1)[2]}, image(abdomen(1)[1]), path, crop=True)
    hospital.mask_entry["pattern"] = "{reader}/{scan_id}.seg.nrrd"


def label_files_by_reader(hospital):
    as_label_files(hospital)
    hospital.mask_entry["values"] = {"reader_1": 2, "reader_2": [2, 7]}


def label_files_of_float64(hospital):
    as_label_files(hospital)
    for path in hospital.root.glob("readers/*/*"):
        rewrite(path, np.float64)


ODD_MASKS = {
    "label files": as_label_files,
    "label files by reader": label_files_by_reader,
    "label files of float64": label_files_of_float64,
    "label files of NRRD": lambda h: as_label_files(h, ".nrrd"),
    "label file with a reader's value each": one_file_of_both_readers,
    "segments of Slicer": as_slicer_files,
    "overlapping segments": lambda h: as_slicer_files(h, layers=[0, 1]),
    "overlapping segments, cropped": lambda h: as_slicer_files(h, layers=[0, 1], crop=True),
    "segments before Slicer 4.11": lambda h: as_slicer_files(h, old=True),
    "one segment, cropped to it": one_cropped_segment,
}
"""How hospitals store which voxels are the lesion: what the study uses is the same mask."""


@pytest.mark.parametrize("name", ODD_ABDOMENS)
def test_an_odd_abdomen_is_accepted_without_a_word(hospital, name):
    ODD_ABDOMENS[name](hospital)
    accepted, findings = hospital.screen()
    assert findings.empty, findings.to_string()
    assert len(accepted) == 3


@pytest.mark.parametrize("name", ODD_MASKS)
def test_the_lesion_is_the_same_however_it_is_stored(hospital, name):
    ODD_MASKS[name](hospital)
    accepted, findings = hospital.screen()
    assert findings.empty, findings.to_string()
    assert len(accepted) == 3
    _, masks = hospital.imported(accepted)
    assert len(masks) == 6
    for key, mask in masks.items():
        assert grid_differences(mask, image(abdomen(1)[1])) == [], key
        assert sitk.GetArrayFromImage(mask).dtype == np.uint8
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), abdomen(1)[2])


@pytest.mark.parametrize("name", STORED)
def test_what_is_stored_oddly_passes_untouched(hospital, name):
    hospital.put(dtype=np.int16)
    for path in hospital.root.rglob("a_pre.nii.gz"):
        STORED[name](path)
    hospital.organ_entry["pattern"] = "{scan_id}.*"
    hospital.assert_untouched()


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({}, 1),
        ({}, -1),
        ({"slope": 1, "intercept": 0}, 1),
        ({"slope": 2, "intercept": -1000}, -1),
        ({"SliceThickness": 8}, 1),
        ({"SpacingBetweenSlices": 5.0}, 1),
        ({"ImagerPixelSpacing": [2.0, 2.0], "SpacingBetweenSlices": -5.0}, 1),
        ({"PatientAge": "000Y", "PatientSex": "O", "PatientBirthDate": "19000101"}, 1),
        ({"SeriesDate": "20200201", "AcquisitionDate": "20200202"}, -1),
    ],
)
def test_series_of_any_order_and_rescale_pass_untouched(tmp_path, options, order):
    hospital = Odd(tmp_path).build()
    hospital.put(lambda made: made, dtype=np.int16)
    hospital.source = sitk.Cast(hospital.source / 2, sitk.sitkInt16) * 2
    hospital.table = hospital.table[hospital.table["scan_id"] == "a_pre"]
    series = slices_of(hospital.source, StudyDate="20200201", **options)
    save(series[::order], tmp_path / "dicom" / "a_pre" / "ct")
    hospital.scan_entry = {
        "path": str(tmp_path / "dicom"), "pattern": "{scan_id}/ct", "format": "dicom_series"
    }  # fmt: skip
    accepted, findings = hospital.screen()
    assert set(findings["code"]) <= {"no_row"}
    scans, _ = hospital.imported(accepted)
    assert grid_differences(scans["a_pre"], hospital.source) == []
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(scans["a_pre"]), sitk.GetArrayFromImage(hospital.source)
    )


def test_three_readers_segmentations_make_the_consensus_that_their_nifti_masks_make(tmp_path):
    hu, _, crlm = abdomen(1)
    scan = image(hu)
    readers = {
        f"reader_{n}": np.roll(crlm, n, axis=2) | (one_voxel() if n else 0) for n in range(3)
    }
    write_seg({f"{r} tumour": m for r, m in readers.items()}, slices_of(scan), tmp_path / "s.dcm")
    volumes = HospitalVolumesDataset(
        path=str(tmp_path),
        pattern="{scan_id}.dcm",
        format="dicom_seg",
        segments={reader: f"{reader} tumour" for reader in readers},
    ).load()
    brought = {key.split("/")[0]: paste_on_grid(volumes[key](), scan) for key in volumes}
    plain = {reader: image(mask) for reader, mask in readers.items()}
    for method in (staple, majority_vote):
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(method(brought).mask), sitk.GetArrayFromImage(method(plain).mask)
        )
