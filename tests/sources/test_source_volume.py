import pickle

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.fingerprint import fingerprint
from coala_kedro.imaging.files import VolumeError
from coala_kedro.sources import DownloadError, SourceVolume

SECRET = {"key": "AKIA", "secret": "hunter2"}


def assert_same(image, expected):
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    assert image.GetOrigin() == expected.GetOrigin()
    np.testing.assert_allclose(image.GetSpacing(), expected.GetSpacing(), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".img", ".hdr", ".img.gz", ".hdr.gz"])
def test_a_pair_is_read_by_the_name_of_either(tmp_path, suffix):
    voxels = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    pair = nibabel.Nifti1Pair(voxels, np.diag([2, 2, 5, 1]))
    nibabel.save(pair, tmp_path / f"a.img{'.gz' if suffix.endswith('.gz') else ''}")
    read = SourceVolume(str(tmp_path / f"a{suffix}"))()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read).T, voxels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_a_file_is_read_wherever_it_lies(write, memory, cache, scan, suffix):
    path = write(scan, f"ct/scan{suffix}")
    assert_same(SourceVolume(str(path))(), scan)
    memory.put(str(path.parent), "/hospital/ct", recursive=True)
    assert_same(SourceVolume(f"memory://hospital/ct/scan{suffix}").whole(), scan)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_half_a_file_is_not_read(write, memory, scan, suffix):
    path = write(scan, f"scan{suffix}")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(VolumeError, match=str(path)):
        SourceVolume(str(path)).whole()
    memory.put(str(path), f"/hospital/scan{suffix}")
    location = f"memory://hospital/scan{suffix}"
    with pytest.raises(VolumeError, match=location) as error:
        SourceVolume(location).whole()
    assert not isinstance(error.value, DownloadError)
    assert error.value.code == "unreadable"


def test_a_header_without_its_data_file_is_not_read(write, memory, scan):
    memory.put(str(write(scan, "scan.mhd")), "/hospital/scan.mhd")
    with pytest.raises(VolumeError, match=r"memory://hospital/scan\.mhd"):
        SourceVolume("memory://hospital/scan.mhd").whole()


def test_a_download_that_fails_says_nothing_of_the_volume(memory):
    with pytest.raises(DownloadError, match="memory://hospital/gone"):
        SourceVolume("memory://hospital/gone.nii").whole()


def test_facts_and_voxels_cost_one_download(write, faulty, scan):
    faulty.put(str(write(scan, "scan.nrrd")), "/hospital/scan.nrrd")
    with SourceVolume("faulty://hospital/scan.nrrd", resample=True).local() as volume:
        assert volume.resample
        assert volume.header_facts() == {}
        assert_same(volume.whole(), scan)
        assert_same(volume.whole(), scan)
    assert type(faulty).n_downloads == 1


def test_secrets_are_not_shown_but_travel(tmp_path):
    volume = SourceVolume("s3://hospital/scan.nii.gz", storage_options=SECRET)
    for text in (repr(volume), str(volume)):
        assert "hunter2" not in text
        assert "AKIA" not in text
    assert pickle.loads(pickle.dumps(volume)) == volume
    assert pickle.loads(pickle.dumps(volume)).storage_options == SECRET
    assert isinstance(hash(volume), int)


def test_only_a_local_compressed_nifti_stands_for_itself(tmp_path):
    path = tmp_path / "scan.nii.gz"
    assert SourceVolume(str(path)).file == path
    assert SourceVolume(f"file://{path}").file == path
    for other in (
        SourceVolume("memory://hospital/scan.nii.gz"),
        SourceVolume(str(tmp_path / "scan.nii")),
        SourceVolume(str(tmp_path / "scan.nrrd")),
        SourceVolume(str(tmp_path / "odd.nii.gz"), "dicom_series"),
        SourceVolume(str(path), values=(2,)),
    ):
        assert other.file is None


def test_the_fingerprint_is_the_content_and_how_it_is_read(write, scan):
    one, copy, other = (
        str(write(image, name))
        for image, name in ((scan, "a.nrrd"), (scan, "b.nrrd"), (scan + 1, "c.nrrd"))
    )
    assert SourceVolume(one).fingerprint == SourceVolume(copy).fingerprint
    different = {
        fingerprint(SourceVolume(one)),
        fingerprint(SourceVolume(other)),
        fingerprint(SourceVolume(one, resample=True)),
        fingerprint(SourceVolume(one, "dicom_seg", "Tumor")),
        fingerprint(SourceVolume(one, "dicom_seg", "Tumor.*")),
        fingerprint(SourceVolume(one, values=(2,))),
        fingerprint(SourceVolume(one, values=(2, 3))),
    }
    assert len(different) == 7
    assert fingerprint(SourceVolume(one, values=(3, 2))) in different
    assert fingerprint(SourceVolume(one, storage_options=SECRET)) in different
