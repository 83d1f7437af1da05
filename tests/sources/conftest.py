import tempfile

import fsspec
import numpy as np
import pytest
import SimpleITK as sitk
from faulty_storage import FaultyStorage

from coala_kedro.sources import storage


@pytest.fixture
def scan():
    voxels = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-101.5, 55.25, 12.75))
    return image


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def memory(cache):
    fs = fsspec.filesystem("memory")
    yield fs
    if fs.exists("/hospital"):
        fs.rm("/hospital", recursive=True)


@pytest.fixture
def faulty(cache, monkeypatch):
    """A storage that fails; its failures are waited for briefly."""
    fsspec.register_implementation("faulty", FaultyStorage, clobber=True)
    monkeypatch.setattr(storage, "WAITS_S", (0.001, 0.001))
    monkeypatch.setattr(FaultyStorage, "faults", [])
    monkeypatch.setattr(FaultyStorage, "n_downloads", 0)
    fs = fsspec.filesystem("faulty")
    fs.pipe("/hospital/scan.nii.gz", bytes(range(100)))
    yield fs
    fs.rm("/hospital", recursive=True)


@pytest.fixture
def write(tmp_path):
    """Write a volume under a temporary folder."""

    def write_volume(image, name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path))
        return path

    return write_volume
