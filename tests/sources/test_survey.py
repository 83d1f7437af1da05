import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_writer import write_seg, write_series

from coala_kedro.sources.patterns import Layout, generalise
from coala_kedro.sources.survey import lesion_labels, survey


@pytest.mark.parametrize(
    ("paths", "pattern", "first"),
    [
        (["s1.nii.gz", "s2.nii.gz"], "{scan_id}.nii.gz", "s1"),
        (["INT_001_ct.nii.gz", "INT_002_ct.nii.gz"], "{scan_id}_ct.nii.gz", "INT_001"),
        (["a/1.2.3/CT_1.7", "b/1.2.4/CT_1.8"], "{scan_id}/*/CT_*", "a"),
        (["ct/a/x", "ct/b/x"], "ct/{scan_id}/x", "a"),
        (["siteA/a/ct", "siteA/b/ct", "siteB/c/ct"], "*/{scan_id}/ct", "a"),
        (["one.nrrd"], "{scan_id}.nrrd", "one"),
        (["a/1/ct", "a/2/ct", "b/1/ct"], "{patient}/{study}/ct", "a_1"),
        (["a/2020-02-01_ct/x", "a/2020-05-02_ct/x", "b/2020-03-03_ct/x"],
         "{patient}/{study}_ct/x", "a_2020-02-01"),
        (["20200201/x", "20200202/x"], "{scan_id}/x", "20200201"),
        (["2020-02-01/x"], "{scan_id}/x", "2020-02-01"),
    ],
)  # fmt: skip
def test_the_first_part_that_differs_everywhere_is_the_scan_s(paths, pattern, first):
    layout = generalise(paths)
    assert layout.pattern == pattern
    assert layout.scan_ids[paths[0]] == first


@pytest.mark.parametrize("paths", [[], ["a/b", "c"], ["x/ct", "x/ct"]])
def test_paths_without_a_pattern(paths):
    assert generalise(paths) is None


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        (["r1/s1.nii.gz", "r1/s2.nii.gz", "r2/s1.nii.gz"], "{reader}/{scan_id}.nii.gz"),
        (["s1/r1.nii", "s1/r2.nii", "s2/r1.nii"], "{scan_id}/{reader}.nii"),
        (["s1/r1/x.dcm", "s1/r2/x.dcm", "s2/r1/x.dcm"], "{scan_id}/{reader}/x.dcm"),
        (["s1/1.7/x.dcm", "s1/1.8/x.dcm", "s2/1.9/x.dcm"], None),
        (["s1_ann.nii", "s1_bob.nii", "s2_ann.nii"], "{scan_id}_{reader}.nii"),
        (["s1_seg.nii", "s2_seg.nii"], "{scan_id}_seg.nii"),
        (["seg/s1.nii", "seg/s2.nii"], "{reader}/{scan_id}.nii"),
        (["t1.nii", "t2.nii"], None),
    ],
)
def test_masks_are_told_by_known_scans_and_readers(paths, pattern):
    layout = generalise(paths, Layout("{scan_id}", {"s1": "s1", "s2": "s2"}), readers=True)
    if pattern is None:
        assert layout is None or "{reader}" not in layout.pattern
    else:
        assert layout.pattern == pattern


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        (["s1/CT/mask.nii", "s2/CT/mask.nii"], "{scan_id}/CT/mask.nii"),
        (["s1/CT/ann/m.nii", "s2/CT/ann/m.nii"], "{scan_id}/CT/{reader}/m.nii"),
        (["s1/SEG/mask.nii", "s2/SEG/mask.nii"], "{scan_id}/{reader}/mask.nii"),
        (["s1/2020-02-11/mask.nii", "s2/2019-03-01/mask.nii"], "{scan_id}/*/mask.nii"),
    ],
)
def test_the_scans_own_folder_and_a_folder_for_each_are_no_reader(paths, pattern):
    scans = Layout("{scan_id}/CT/scan.nii", {"s1/CT/scan.nii": "s1", "s2/CT/scan.nii": "s2"})
    assert generalise(paths, scans, readers=True).pattern == pattern


def flat_folder(folder, *names):
    air = sitk.GetImageFromArray(np.full((4, 4, 4), -1000, np.int16))
    mask = sitk.GetImageFromArray(np.eye(4, dtype=np.uint8)[None].repeat(4, axis=0))
    for name in names:
        sitk.WriteImage(mask if "mask" in name else air, str(folder / f"{name}.nii.gz"))


def test_masks_between_scans_are_masks(tmp_path):
    """The first and the last are scans: only some have a mask."""
    flat_folder(tmp_path, "p1", "p2", "p2_mask", "p3", "p3_mask", "p4", "p5")
    found = survey(tmp_path)
    assert found.scans == [f"p{n}.nii.gz" for n in range(1, 6)]
    assert found.masks == ["p2_mask.nii.gz", "p3_mask.nii.gz"]


def test_names_of_another_character_set_are_told(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/M\xfcller")
    (tmp_path / os.fsdecode(b"M\xfcller") / "ct.nii.gz").touch()
    with pytest.raises(ValueError, match=r"not UTF-8.*rename them"):
        survey(tmp_path)


def test_what_cannot_be_read_hides_no_scans(tmp_path):
    flat_folder(tmp_path, "p1", "p2", "p3")
    for name in ("a", "b", "y", "z"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    found = survey(tmp_path)
    assert found.scans == ["p1.nii.gz", "p2.nii.gz", "p3.nii.gz"]
    assert found.others == {"volumes": 4}


def test_masks_are_told_by_the_parts_that_tell_scans():
    scans = generalise(["a/1_ct/CT", "a/2_ct/CT", "b/1_ct/CT"])
    layout = generalise(["a/1_ct/SEG_x/1.dcm", "b/1_ct/SEG_y/1.dcm"], scans)
    assert layout.pattern == "{patient}/{study}_ct/SEG_*/1.dcm"
    assert [*layout.scan_ids.values()] == ["a_1", "b_1"]
    for elsewhere in (["a/3_ct/SEG/1.dcm"], ["a"], ["a/1/x", "b/1/x"]):
        assert generalise(elsewhere, scans) is None


@pytest.mark.parametrize(
    ("labels", "pattern"),
    [
        (["Liver", "Tumor_1", "Tumor_12", "Portal"], "Tumor.*"),
        (["Lesion 1", "Metastasis", "Spleen"], "Lesion.*|Metastasis.*"),
        (["Segment (tumour) 1"], r"Segment \(tumour\).*"),
        (["Liver"], ""),
    ],
)
def test_labels_that_look_like_lesions(labels, pattern):
    assert lesion_labels(labels) == pattern


def volume(kind):
    voxels = np.zeros((6, 20, 20), np.int16)
    voxels[2:4, 5:15, 5:15] = 1
    if kind == "scans":
        voxels = voxels * 1050 - 1000
    if kind == "organs":
        voxels[4:, :5] = 5
    return sitk.GetImageFromArray(voxels)


@pytest.mark.parametrize(
    "names",
    [
        ("ct/{}.nii.gz", "readers/ann/{}.nii.gz", "organs/{}.nii.gz"),
        ("{}/ct.nrrd", "{}/outline.nrrd", "{}/structures.nrrd"),
        ("{}_ct.mha", "{}_ann.mha", "{}_organs.mha"),
    ],
)
def test_volumes_are_told_by_what_they_hold(tmp_path, names):
    for scan_id in ("s1", "s2", "s3"):
        for name, kind in zip(names, ("scans", "masks", "organs"), strict=True):
            path = tmp_path / name.format(scan_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(volume(kind), str(path))
    (tmp_path / "broken.nii").write_text("no volume")
    found = survey(tmp_path)
    for name, listed in zip(names, (found.scans, found.masks, found.organs), strict=True):
        assert sorted(listed) == sorted(name.format(s) for s in ("s1", "s2", "s3"))
    assert found.others == {"volumes": 1}


def test_dicom_is_told_by_its_headers(tmp_path):
    scan = volume("scans")
    series = write_series(scan, tmp_path / "s1" / "study" / "CT_1")
    write_series(scan, tmp_path / "s1" / "study" / "MR_1", Modality="MR", intercept=-1024)
    masks = {
        "Liver": sitk.GetArrayFromImage(volume("masks")),
        "Tumor_1": np.eye(20) * np.ones((6, 1, 1)),
    }
    write_seg(masks, series, tmp_path / "s1" / "study" / "SEG_1" / "1.dcm")
    (tmp_path / "DICOMDIR").touch()
    (tmp_path / "s1" / "LICENSE").write_text("CC BY")
    found = survey(tmp_path)
    assert found.series == ["s1/study/CT_1"]
    assert found.segmentations == ["s1/study/SEG_1/1.dcm"]
    assert found.labels == {"Liver": 1, "Tumor_1": 1}
    assert found.others == {"MR": 1}
    assert isinstance(pydicom.dcmread(tmp_path / found.segmentations[0]), pydicom.Dataset)
    assert Path(tmp_path, found.series[0]).is_dir()
