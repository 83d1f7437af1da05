"""DICOM files as attackers have them."""

import os
import resource
import struct
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_writer import save, slices_of, write_seg
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless

from coala_kedro.imaging.dicom import inspect_series, read_series
from coala_kedro.imaging.dicom_seg import read_segments
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.untrusted import MAX_VOLUME_BYTES, check_deflated
from coala_kedro.sources import SourceVolume
from coala_kedro.sources.survey import survey


@pytest.fixture
def series(tmp_path):
    """A folder of twelve slices."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (12, 16, 16)).astype(np.int16)
    folder = tmp_path / "a" / "ct"
    save(slices_of(sitk.GetImageFromArray(voxels)), folder)
    return folder


def deflated(path, of=None):
    """The same file deflated; with gigabytes of zeros behind it."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    if of is None:
        return
    content = path.read_bytes()
    start = 144 + struct.unpack("<I", content[140:144])[0]
    plain = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = struct.pack("<HH2sHI", 0x7FE1, 0x1001, b"OB", 0, of)  # private, behind the pixels
    with path.open("wb") as file:
        file.write(content[:start] + packer.compress(plain + element))
        for _ in range(of >> 24):
            file.write(packer.compress(bytes(1 << 24)))
        file.write(packer.flush())


def test_a_deflated_series_is_read(series):
    before = sitk.GetArrayFromImage(read_series(series))
    for path in series.iterdir():
        deflated(path)
    assert inspect_series(series)["n_unreadable_files"] == 0
    for path in series.iterdir():
        check_deflated(path)
    assert before.shape == (12, 16, 16)


def test_a_slice_that_unpacks_to_gigabytes_is_told_in_little_memory(series, monkeypatch):
    monkeypatch.setattr("coala_kedro.imaging.untrusted.MAX_VOLUME_BYTES", 1 << 25)
    first = sorted(series.iterdir())[0]
    deflated(first, of=1 << 26)
    assert first.stat().st_size < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert inspect_series(series)["n_unreadable_files"] == 1
    with pytest.raises(VolumeError):
        read_series(series)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_segmentation_that_unpacks_to_gigabytes_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("coala_kedro.imaging.untrusted.MAX_VOLUME_BYTES", 1 << 22)
    mask = np.zeros((12, 16, 16), np.uint8)
    mask[3, 4:8, 4:8] = 1
    scan = sitk.GetImageFromArray(np.zeros((12, 16, 16), np.int16))
    write_seg({"tumour": mask}, slices_of(scan), tmp_path / "seg.dcm")
    deflated(tmp_path / "seg.dcm", of=1 << 24)
    with pytest.raises(VolumeError):
        read_segments(tmp_path / "seg.dcm", "tumour")


@pytest.mark.parametrize("size", [(65535, 65535), (65535, 16), (8193, 8193)])
def test_a_compressed_slice_that_promises_gigabytes_is_told(series, size):
    path = sorted(series.iterdir())[0]
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns = size
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(100)])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    assert inspect_series(series)["n_unreadable_files"] == 1
    with pytest.raises(VolumeError):
        read_series(series)


def test_pipes_in_a_series_and_in_place_of_a_segmentation_are_not_waited_for(series, tmp_path):
    os.mkfifo(series / "pipe.dcm")
    assert inspect_series(series)["n_slices"] == 12
    os.mkfifo(tmp_path / "seg.dcm")
    with pytest.raises(VolumeError, match="is a pipe"):
        SourceVolume(str(tmp_path / "seg.dcm"), "dicom_seg", "tumour").whole()
    found = survey(tmp_path)
    assert found.series == ["a/ct"]


def test_the_limit_is_a_ct_of_four_gigabytes():
    assert MAX_VOLUME_BYTES == 1024 * 1024 * 2048 * 2
