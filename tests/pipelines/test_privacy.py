"""Nothing that may tell who somebody is comes along with a scan."""

import gzip
import logging
import shutil
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hospital import Hospital, abdomen, image

from coala_kedro.datasets import VolumeFolderDataset
from coala_kedro.imaging.geometry import grid_differences
from coala_kedro.imaging.plain_nifti import is_plain_nifti
from coala_kedro.pipelines.preprocessing import intake

pytestmark = pytest.mark.slow

WHO = "Quxfather"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Hospital(tmp_path_factory.mktemp("sound")).build().root


@pytest.fixture
def hospital(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "hospital")
    return Hospital(tmp_path / "hospital")


def gzip_member(held, flags=0, fields=b""):
    """RFC 1952: a member with optional fields."""
    member = gzip.compress(held, 1, mtime=0)
    return member[:3] + bytes([flags]) + member[4:10] + fields + member[10:]


def header_text(field):
    def change(held):
        header = nibabel.Nifti1Header(held[:348])
        header[field] = WHO.encode()[: header[field].dtype.itemsize]
        return gzip_member(header.binaryblock + held[348:])

    return change


def extension(held):
    header = nibabel.Nifti1Header(held[:348])
    header["vox_offset"] = 352 + 32
    told = struct.pack("<ii", 32, 6) + WHO.encode().ljust(24, b"\0")
    return gzip_member(header.binaryblock + b"\1\0\0\0" + told + held[352:])


def text_before_the_voxels(held):
    header = nibabel.Nifti1Header(held[:348])
    header["vox_offset"] = 352 + 16
    return gzip_member(header.binaryblock + bytes(4) + WHO.encode().ljust(16, b"\0") + held[352:])


TOLD = {
    "descrip": header_text("descrip"),
    "aux_file": header_text("aux_file"),
    "intent_name": header_text("intent_name"),
    "db_name": header_text("db_name"),
    "data_type": header_text("data_type"),
    "extension": extension,
    "before the voxels": text_before_the_voxels,
    "after the voxels": lambda held: gzip_member(held + WHO.encode()),
    "gzip name": lambda held: gzip_member(held, 8, f"{WHO}.nii\0".encode()),
    "gzip comment": lambda held: gzip_member(held, 16, f"{WHO}\0".encode()),
    "gzip extra": lambda held: gzip_member(held, 4, b"\x0d\0Qu\x09\0" + WHO.encode()),
    "a second gzip member": lambda held: (
        gzip_member(held) + gzip_member(b"", 8, f"{WHO}\0".encode())
    ),
}


def contents(folder):
    """What lies below a folder, unpacked too, with the names of files and what links point to."""
    told = b""
    for path in folder.rglob("*"):
        told += str(path.relative_to(folder)).encode()
        if path.is_symlink():
            told += str(path.readlink()).encode()
        if path.is_file():
            held = path.read_bytes()
            told += held + (gzip.decompress(held) if held[:2] == b"\x1f\x8b" else b"")
    return told


def imported(hospital, tmp_path):
    """The folders of scans and of readers' masks, as the study keeps them."""
    usable, _ = hospital.accept()
    folders = [VolumeFolderDataset(path=str(tmp_path / name)) for name in ("scans", "masks")]
    folders[0].save(intake.import_scans(usable, hospital.raw_scans))
    masks = intake.import_masks(usable, folders[0].load(), hospital.raw_masks)
    folders[1].save(masks)
    return folders[0].load(), folders[1].load()


def assert_same_volume(made, expected):
    assert made.GetPixelID() == expected.GetPixelID()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(made), sitk.GetArrayFromImage(expected))
    assert grid_differences(made, expected) == []


@pytest.mark.parametrize("place", TOLD)
def test_what_a_file_tells_beside_its_volume_is_left_behind(hospital, tmp_path, place):
    paths = [hospital.scan("a_pre"), hospital.mask("reader_1", "a_pre")]
    expected = [sitk.ReadImage(str(path)) for path in paths]
    for path in paths:
        path.write_bytes(TOLD[place](gzip.decompress(path.read_bytes())))
        assert not is_plain_nifti(path)
    scans, masks = imported(hospital, tmp_path / "data")
    made = [scans["a_pre"], masks["reader_1/a_pre"]]
    for volume, before in zip(made, expected, strict=True):
        assert_same_volume(volume(), before)
    assert b"Qux" not in contents(tmp_path / "data").replace(str(hospital.root).encode(), b"")


def test_a_plain_file_is_linked_and_lies_there_once(hospital, tmp_path):
    scans, masks = imported(hospital, tmp_path / "data")
    for volume, source in (
        (scans["a_pre"], hospital.scan("a_pre")),
        (masks["reader_1/a_pre"], hospital.mask("reader_1", "a_pre")),
    ):
        path = tmp_path / "data" / volume.path
        assert path.readlink() == source
    assert not any(
        path.is_file() and not path.is_symlink() for path in (tmp_path / "data").rglob("*.nii.gz")
    )


@pytest.mark.parametrize(
    ("place", "pattern"),
    [
        (f"{WHO}/{{}}.nii.gz", "*/{scan_id}.nii.gz"),
        (f"{{}}.{WHO}.nii.gz", "{scan_id}.*.nii.gz"),
        (f"{{}}/{WHO}.nii.gz", "{scan_id}/*.nii.gz"),
    ],
)
def test_a_file_whose_path_tells_more_than_its_scan_is_not_linked(
    hospital, tmp_path, place, pattern
):
    for scan_id in hospital.table["scan_id"]:
        path = hospital.root / "scans" / place.format(scan_id)
        path.parent.mkdir(exist_ok=True)
        hospital.scan(scan_id).rename(path)
    hospital.scan_entry["pattern"] = pattern
    scans, _ = imported(hospital, tmp_path / "data")
    assert len(scans) == 3
    assert WHO.encode() not in contents(tmp_path / "data")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
def test_texts_of_other_formats_are_left_behind(hospital, tmp_path, suffix):
    for scan_id in hospital.table["scan_id"]:
        scan = sitk.ReadImage(str(hospital.scan(scan_id)))
        for key in ("Comment", "PatientName", "descrip", "aux_file", "ITK_FileNotes"):
            scan.SetMetaData(key, WHO)
        hospital.scan(scan_id).unlink()
        path = hospital.root / "scans" / f"{scan_id}{suffix}"
        sitk.WriteImage(scan, str(path))
        assert WHO.encode() in path.read_bytes()
    hospital.scan_entry["pattern"] = f"{{scan_id}}{suffix}"
    scans, _ = imported(hospital, tmp_path / "data")
    assert len(scans) == 3
    assert_same_volume(scans["a_pre"](), image(abdomen(1)[0]))
    assert WHO.encode() not in contents(tmp_path / "data")


@pytest.mark.parametrize("slope", [1, 2, 0.5])
def test_a_scaled_scan_keeps_its_hu(hospital, tmp_path, slope):
    path = hospital.scan("a_pre")
    read = nibabel.load(path)
    stored = np.rint((np.asarray(read.dataobj) + 1024) / slope).astype(np.int16)
    scaled = nibabel.Nifti1Image(stored, read.affine)
    scaled.header.set_slope_inter(slope, -1024)
    scaled.header["descrip"] = WHO.encode()
    nibabel.save(scaled, path)
    expected = np.asarray(nibabel.load(path).dataobj).T
    scans, _ = imported(hospital, tmp_path / "data")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scans["a_pre"]()), expected)


def broken(path):
    """Ways in which a file cannot be read, its name in the text of whoever tries."""
    yield lambda: path.write_bytes(WHO.encode() * 100)
    yield lambda: path.write_bytes(gzip.compress(WHO.encode() * 100))
    yield lambda: path.write_bytes(path.read_bytes()[:2000])
    yield lambda: (path.unlink(), path.mkdir())
    yield lambda: (path.unlink(), path.symlink_to(path.parent / "gone"))


@pytest.mark.parametrize("number", range(5))
def test_no_finding_and_no_log_shows_the_path_of_a_file_that_cannot_be_read(
    hospital, tmp_path, caplog, capfd, number
):
    caplog.set_level(logging.DEBUG)
    for scan_id in hospital.table["scan_id"]:
        folder = hospital.root / "scans" / scan_id / WHO
        folder.mkdir(parents=True)
        shutil.move(hospital.scan(scan_id), folder / f"{WHO}.nii.gz")
    hospital.scan_entry["pattern"] = "{scan_id}/*/*.nii.gz"
    path = hospital.root / "scans" / "a_pre" / WHO / f"{WHO}.nii.gz"
    spoil = [*broken(path)][number]
    spoil()
    accepted, findings = hospital.screen()
    assert list(accepted["scan_id"]) == ["a_post", "b_pre"]
    assert findings["scan_id"].tolist() == ["a_pre"]
    told = findings.to_csv() + caplog.text + "".join(capfd.readouterr())
    assert WHO not in told


def test_files_that_no_row_is_for_are_counted_where_their_paths_are_no_scan_ids(hospital):
    for name in (f"{WHO}, Hans.nii.gz", f"{WHO}, Grete.nii.gz", "stray.nii.gz"):
        shutil.copy(hospital.scan("a_pre"), hospital.root / "scans" / name)
    _, findings = hospital.screen()
    told = dict(zip(findings["scan_id"], findings["measured"], strict=True))
    assert told == {"?": "no row for 2 whose paths are no scan ids", "stray": "no row"}
