"""A hospital's own folder, and files that are linked instead of copied."""

import os
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DatasetError

from coala_kedro.datasets import VolumeFolderDataset
from coala_kedro.imaging.files import VolumeError
from coala_kedro.sources import SourceVolume


def volume_of(value):
    return sitk.GetImageFromArray(np.full((3, 4, 5), value, np.int16))


def values_in(dataset):
    return {key: volume()[0, 0, 0] for key, volume in dataset.load().items()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cohort" / "scans"


@pytest.fixture
def dataset(folder):
    return VolumeFolderDataset(path=str(folder))


def test_a_hospitals_own_folder_is_read_without_marks(folder):
    dataset = VolumeFolderDataset(path=str(folder), raw=True)
    (folder / "reader_1").mkdir(parents=True)
    assert not dataset.exists()
    for name in ("a.nii.gz", "reader_1/a.nii.gz", ".123-b.nii.gz", "reader_1/.b.nii.gz"):
        sitk.WriteImage(volume_of(1), str(folder / name))
    (folder / ".snapshot").mkdir()
    sitk.WriteImage(volume_of(1), str(folder / ".snapshot" / "c.nii.gz"))
    (folder / "notes.txt").write_text("not a volume")
    assert dataset.exists()
    assert values_in(dataset) == {"a": 1, "reader_1/a": 1}


def test_a_made_folder_is_read_as_raw_with_what_was_added_by_hand(folder):
    dataset = VolumeFolderDataset(path=str(folder), raw=True)
    dataset.save({"a": volume_of(1)})
    sitk.WriteImage(volume_of(2), str(folder / "b.nii.gz"))
    assert dataset.exists()
    assert values_in(dataset) == {"a": 1, "b": 2}


def test_a_raw_volume_is_a_hospital_s(folder):
    folder.mkdir(parents=True)
    sitk.WriteImage(volume_of(1), str(folder / "a.nii.gz"))
    volume = VolumeFolderDataset(path=str(folder), raw=True).load()["a"]
    assert volume == SourceVolume(str(folder / "a.nii.gz"))


def linked(path):
    return path


def test_a_file_that_is_right_as_it_is_is_linked(tmp_path, dataset, folder):
    source = tmp_path / "hospital.nii.gz"
    sitk.WriteImage(volume_of(7), str(source))
    dataset.save({"a": partial(linked, source)})
    assert (folder / "a.nii.gz").is_symlink()
    assert values_in(dataset) == {"a": 7}


def test_what_is_made_in_the_place_of_a_link_leaves_the_linked_file_alone(
    tmp_path, dataset, folder
):
    source = tmp_path / "hospital.nii.gz"
    sitk.WriteImage(volume_of(7), str(source))
    before = source.read_bytes()
    dataset.save({"a": partial(linked, source), "b": partial(linked, source)})
    dataset.save({"a": volume_of(1)})
    assert values_in(dataset) == {"a": 1}
    assert not (folder / "b.nii.gz").exists()
    assert source.read_bytes() == before


def test_a_link_to_a_file_that_is_gone_is_not_complete(tmp_path, dataset):
    source = tmp_path / "hospital.nii.gz"
    sitk.WriteImage(volume_of(7), str(source))
    dataset.save({"a": partial(linked, source)})
    source.unlink()
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="not complete"):
        dataset.load()


def test_what_is_no_file_in_a_hospitals_folder_leaves_the_others(folder):
    folder.mkdir(parents=True)
    sitk.WriteImage(volume_of(1), str(folder / "a.nii.gz"))
    (folder / "b.nii.gz").symlink_to(folder / "annexed")
    (folder / "c.nii.gz").mkdir()
    os.mkfifo(folder / "d.nii.gz")
    dataset = VolumeFolderDataset(path=str(folder), raw=True)
    assert dataset.exists()
    volumes = dataset.load()
    assert list(volumes) == ["a", "b", "c", "d"]
    assert volumes["a"]()[0, 0, 0] == 1
    for key in "bcd":
        assert volumes[key].fingerprint
        with pytest.raises(VolumeError):
            volumes[key]()
