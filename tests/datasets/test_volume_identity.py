"""A volume is known by its voxels and geometry, and what came out the same stays what it was."""

import functools
import gzip
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from kedro.io import DatasetError

from coala_kedro.datasets import VolumeFolderDataset
from coala_kedro.fingerprint import file_fingerprint, recipe
from coala_kedro.imaging.files import read_volume
from coala_kedro.imaging.identity import volume_fingerprint
from coala_kedro.pipelines.preprocessing.intake import import_scans
from coala_kedro.sources import SourceVolume

OBLIQUE = sitk.VersorTransform((0.2, -0.1, 0.9), 0.15).GetMatrix()


def volume(seed=0, dtype=np.int16, spacing_mm=(0.7421875, 0.7421875, 2.5), direction=OBLIQUE):
    voxels = np.random.default_rng(seed).integers(-1000, 1000, (7, 9, 11)).astype(dtype)
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing(spacing_mm)
    made.SetOrigin((-120.3, 44.1, 3.3))
    made.SetDirection(direction)
    return made


def write(made, path, **header):
    sitk.WriteImage(made, str(path), useCompression=True)
    if header:
        read = nibabel.load(path)
        for name, value in header.items():
            read.header[name] = value
        read.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, b"a remark"))
        nibabel.save(read, path)
    return path


def in_two_members(path):
    """As some tools that compress in parallel leave it."""
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))
    return path


def with_something_behind(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"behind"))
    return path


def scaled(path, slope, inter, endianness="<"):
    """CT as dcm2niix writes it: as the scanner stored it, and in the header what makes it HU."""
    header = nibabel.load(write(volume(), path, descrip=b"dcm2niix")).header.as_byteswapped(
        endianness
    )
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, slope, inter
    stored = (sitk.GetArrayFromImage(volume()) - inter) / slope
    voxels = stored.astype(np.dtype(np.int16).newbyteorder(endianness)).tobytes()
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + voxels))
    return path


SAME = {
    "remarks in the header": lambda at: write(volume(), at / "v.nii.gz", descrip=b"somebody"),
    "not compressed": lambda at: write(volume(), at / "v.nii"),
    "two members": lambda at: in_two_members(write(volume(), at / "v.nii.gz")),
    "more than the voxels": lambda at: with_something_behind(write(volume(), at / "v.nii.gz")),
}
OTHERS = {
    "voxels": volume(1),
    "type": volume(dtype=np.float32),
    "spacing": volume(spacing_mm=(0.7421875, 0.7421875, 2.51)),
    "direction": volume(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
    "axes": sitk.Flip(volume(), (True, False, False)),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_volume_in_another_file_is_the_same(tmp_path, name):
    (tmp_path / "other").mkdir()
    plain = write(volume(), tmp_path / "v.nii.gz")
    assert volume_fingerprint(SAME[name](tmp_path / "other")) == volume_fingerprint(plain)


@pytest.mark.parametrize("name", OTHERS)
def test_another_volume_is_another(tmp_path, name):
    plain, other = tmp_path / "v.nii.gz", tmp_path / "other.nii.gz"
    assert volume_fingerprint(write(volume(), plain)) != volume_fingerprint(
        write(OTHERS[name], other)
    )


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_other_formats_are_known_by_their_voxels_too(tmp_path, suffix):
    one, other, same = (tmp_path / f"{n}{suffix}" for n in range(3))
    made = volume()
    write(made, one)
    made.SetMetaData("remark", "somebody")
    sitk.WriteImage(made, str(same), useCompression=False)
    write(volume(1), other)
    assert volume_fingerprint(one) == volume_fingerprint(same) != volume_fingerprint(other)


@recipe("tests_volume", version=1)
def first(made):
    return made.image


@recipe("tests_volume", version=2)
def second(made):
    return made.image


class Made:
    fingerprint = ""

    def __init__(self, image):
        self.image = image


def test_what_comes_out_the_same_keeps_what_version_0_1_0_knew_it_as(tmp_path):
    folder = VolumeFolderDataset(path=str(tmp_path / "made"))
    plain = volume(direction=np.eye(3).ravel())
    folder.save({"s1": functools.partial(first, Made(plain))})
    file = tmp_path / "made" / "s1.nii.gz"
    write(plain, file, descrip=b"somebody")  # as version 0.1.0 would have linked it
    known = file_fingerprint(file)
    assert folder.load()["s1"].former_fingerprint == known

    folder.save({"s1": functools.partial(second, Made(plain))})
    assert file_fingerprint(file) != known
    foreseen, _ = folder.foresee({"s1": functools.partial(second, Made(plain))})
    for made in (folder.load()["s1"], foreseen["s1"]):
        assert made.former_fingerprint == known

    changed = volume(1, direction=np.eye(3).ravel())
    folder.save({"s1": functools.partial(first, Made(changed))})
    assert folder.load()["s1"].former_fingerprint == file_fingerprint(file) != known


@pytest.mark.parametrize(
    "stored", [(1, -1024, "<"), (0.5, 0, "<"), (1, 0, ">"), (1, -1024, ">")], ids=str
)
def test_a_scan_that_its_header_made_hu_is_the_same_when_it_is_written_anew(tmp_path, stored):
    plain = volume(direction=np.eye(3).ravel())
    file = scaled(tmp_path / "raw.nii.gz", *stored)
    folder = VolumeFolderDataset(path=str(tmp_path / "made"))
    folder.save({"s1": functools.partial(first, Made(file))})  # linked, as version 0.1.0 did
    made = folder.load()["s1"]
    before = made.fingerprint, made.former_fingerprint
    assert made.former_fingerprint == file_fingerprint(file)

    folder.save({"s1": functools.partial(second, Made(read_volume(file)))})
    again = folder.load()["s1"]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again()), sitk.GetArrayFromImage(plain))
    assert (again.fingerprint, again.former_fingerprint) == before


@pytest.mark.parametrize("stopped", ["before the first is written", "before the second is"])
def test_a_run_that_was_stopped_forgets_nothing(tmp_path, stopped):
    """Links of version 0.1.0 become copies: the disk may well be full half-way."""
    raw = {n: write(volume(n), tmp_path / f"{n}.nii.gz", descrip=b"somebody") for n in range(2)}
    folder = VolumeFolderDataset(path=str(tmp_path / "made"))
    folder.save({"s1": functools.partial(first, Made({str(n): raw[n] for n in raw}))})
    known = {key: made.former_fingerprint for key, made in folder.load().items()}

    copies = {str(n): read_volume(raw[n]) for n in raw}
    broken = "not an image"
    cut = {"0": broken, "1": copies["1"]} if "first" in stopped else copies | {"1": broken}
    for _ in range(2):
        with pytest.raises(DatasetError):
            folder.save({"s1": functools.partial(second, Made(cut))})
    folder.save({"s1": functools.partial(second, Made(copies))})
    made = folder.load()
    assert not any(Path(volume.path).is_symlink() for volume in made.values())
    assert {key: volume.former_fingerprint for key, volume in made.items()} == known


def test_a_run_that_was_stopped_after_it_made_another_volume_remembers_that(tmp_path):
    folder = VolumeFolderDataset(path=str(tmp_path / "made"))
    folder.save({"s1": functools.partial(first, Made({"0": volume(), "1": volume()}))})
    known = folder.load()["0/s1"].former_fingerprint
    other = {"0": volume(1), "1": "not an image"}
    with pytest.raises(DatasetError):
        folder.save({"s1": functools.partial(second, Made(other))})
    folder.save({"s1": functools.partial(second, Made({"0": volume(1), "1": volume()}))})
    made = folder.load()["0/s1"]
    assert made.former_fingerprint == file_fingerprint(made.path) != known


@pytest.mark.parametrize("kept", ["a link", "a link to what was moved", "a copy", "nothing"])
def test_a_scan_that_was_linked_is_known_by_the_file_it_was_linked_to(tmp_path, kept):
    """Whatever became of the study's folder when it was moved to another disk."""
    raw = write(volume(), tmp_path / "raw.nii.gz", descrip=b"somebody")
    made = tmp_path / "made" / "s1.nii.gz"
    made.parent.mkdir()
    if kept.startswith("a link"):
        made.symlink_to(tmp_path / "elsewhere" if "moved" in kept else raw)
    elif kept == "a copy":
        shutil.copy(raw, made)
    folder = VolumeFolderDataset(path=str(made.parent))
    table = pd.DataFrame({"scan_id": ["s1"]})
    folder.save(import_scans(table, {"s1": SourceVolume(str(raw))}))
    assert file_fingerprint(made) != file_fingerprint(raw)
    assert folder.load()["s1"].former_fingerprint == file_fingerprint(raw)
