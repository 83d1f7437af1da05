import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DatasetError
from volume_file import VolumeFile

from coala_kedro.datasets import LazyVolume
from coala_kedro.datasets import volume as volume_module
from coala_kedro.imaging.files import VolumeError, read_whole_volume
from coala_kedro.sources import SourceVolume


@pytest.fixture
def scan():
    image = sitk.GetImageFromArray(np.arange(2400, dtype=np.int16).reshape(10, 12, 20) - 1024)
    image.SetSpacing([0.5, 0.75, 5.0])
    image.SetOrigin([-250.0, 10.0, 30.0])
    return image


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_volume_comes_back_with_its_voxels_and_grid(tmp_path, scan, suffix):
    dataset = VolumeFile(filepath=str(tmp_path / "new" / f"scan{suffix}"))
    assert not dataset.exists()
    dataset.save(scan)
    assert dataset.exists()
    loaded = dataset.load()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(loaded), sitk.GetArrayFromImage(scan))
    assert loaded.GetSpacing() == scan.GetSpacing()
    assert loaded.GetOrigin() == scan.GetOrigin()


def test_a_volume_is_compressed(tmp_path, scan):
    VolumeFile(filepath=str(tmp_path / "scan.mha")).save(
        sitk.Image(200, 200, 20, scan.GetPixelID())
    )
    assert (tmp_path / "scan.mha").stat().st_size < 200 * 200 * 20


def test_a_write_that_fails_leaves_the_earlier_volume_and_nothing_else(tmp_path, scan, monkeypatch):
    dataset = VolumeFile(filepath=str(tmp_path / "scan.nii.gz"))
    dataset.save(scan)
    before = (tmp_path / "scan.nii.gz").read_bytes()

    def disk_full(image, path, **options):
        with open(path, "wb") as file:
            file.write(before[:100])
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(volume_module.sitk, "WriteImage", disk_full)
    with pytest.raises(DatasetError, match=r"scan\.nii\.gz cannot be written: No space left"):
        dataset.save(scan + 1)
    assert (tmp_path / "scan.nii.gz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_a_lazy_volume_reads_when_called(tmp_path, scan):
    path = tmp_path / "scan.nii.gz"
    volume = LazyVolume(str(path))
    with pytest.raises(VolumeError, match=r"scan\.nii\.gz cannot be read"):
        volume()
    sitk.WriteImage(scan, str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume()), sitk.GetArrayFromImage(scan))


def test_a_lazy_volume_tells_its_grid_from_the_header_alone(tmp_path, scan):
    path = tmp_path / "scan.nii.gz"
    volume = LazyVolume(str(path))
    with pytest.raises(VolumeError, match=r"scan\.nii\.gz cannot be read"):
        volume.grid()
    sitk.WriteImage(scan, str(path))
    grid = volume.grid()
    assert grid.GetSize() == scan.GetSize()
    assert grid.GetSpacing() == pytest.approx(scan.GetSpacing())
    assert grid.GetOrigin() == pytest.approx(scan.GetOrigin())
    assert grid.GetDirection() == pytest.approx(scan.GetDirection())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_a_truncated_file_is_noticed_by_whole(tmp_path, scan, suffix):
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(scan, str(path))
    truncate(path)
    with pytest.raises(VolumeError, match=rf"scan\{suffix} is truncated or damaged"):
        read_whole_volume(path)


def test_an_export_that_stopped_before_it_was_compressed_is_noticed_by_whole(tmp_path, scan):
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(scan, str(path))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-2]))
    with pytest.raises(VolumeError, match=r"truncated or damaged \(5150 of 5152 bytes\)"):
        read_whole_volume(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_nan_that_simpleitk_would_read_as_zero_is_noticed_by_whole(tmp_path, suffix):
    voxels = np.zeros((2, 3, 4), np.float32)
    voxels[0, 0, :2] = np.nan, np.inf
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    with pytest.raises(VolumeError, match="holds 2 voxels that are NaN or infinite"):
        read_whole_volume(path)


def test_a_changed_byte_is_noticed_by_whole(tmp_path, scan):
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(scan, str(path))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # of the CRC-32
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="truncated or damaged"):
        read_whole_volume(path)


def test_a_file_that_is_no_volume_is_named(tmp_path):
    path = tmp_path / "scan.nii"
    path.write_text("not a volume")
    with pytest.raises(VolumeError, match=r"scan\.nii cannot be read"):
        read_whole_volume(path)
    path = path.rename(tmp_path / "scan.nii.gz")
    with pytest.raises(VolumeError, match=r"scan\.nii\.gz cannot be read: it is damaged"):
        read_whole_volume(path)


def test_the_fingerprint_is_the_contents(tmp_path, scan):
    paths = [tmp_path / name for name in ("one.nii.gz", "copy.nii.gz", "other.nii.gz")]
    for path, image in zip(paths, (scan, scan, scan + 1), strict=True):
        sitk.WriteImage(image, str(path))
    one, copy, other = (LazyVolume(str(path)).fingerprint for path in paths)
    assert one == copy
    assert one != other


def test_a_compressed_file_is_read_itself_and_not_its_namesake_beside_it(tmp_path, scan):
    """SimpleITK takes the grid from the one and the voxels from the other."""
    other = sitk.Image(scan) * 0 + 7
    sitk.WriteImage(scan, str(tmp_path / "scan.nii.gz"))
    sitk.WriteImage(other, str(tmp_path / "scan.nii"))
    for name, brought in (("scan.nii.gz", scan), ("scan.nii", other)):
        for read in (LazyVolume(str(tmp_path / name)), SourceVolume(str(tmp_path / name))):
            np.testing.assert_array_equal(
                sitk.GetArrayFromImage(read()), sitk.GetArrayFromImage(brought)
            )
    assert SourceVolume(str(tmp_path / "scan.nii.gz")).file is None  # others would read it wrongly
