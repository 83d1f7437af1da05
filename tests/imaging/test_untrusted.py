"""Files as attackers have them: told as bad, at once and in little memory."""

import gzip
import os
import resource
import signal
import socket
import struct
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.fingerprint import file_fingerprint
from coala_kedro.imaging.files import VolumeError, read_grid, read_volume, read_whole_volume
from coala_kedro.imaging.identity import volume_fingerprint
from coala_kedro.sources import SourceVolume
from coala_kedro.sources.storage import content_fingerprint

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


@pytest.fixture(autouse=True)
def never_waits():
    """A library that opens a pipe waits for ever."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60)
    yield
    signal.alarm(0)


def fifo(path):
    os.mkfifo(path)


def unix_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


NO_FILES = {
    "a pipe": (fifo, "is a pipe, not a file"),
    "a socket": (unix_socket, "is a socket, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
    "a folder": (lambda path: path.mkdir(), "is a folder, not a file"),
    "a link to nothing": (lambda path: path.symlink_to(path.parent / "annexed"), "that is absent"),
    "a link to itself": (lambda path: path.symlink_to(path), "leads to itself"),
    "absent": (lambda path: None, "there is no such file"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_told_and_not_waited_for(tmp_path, kind, suffix):
    make, told = NO_FILES[kind]
    path = tmp_path / f"scan{suffix}"
    make(path)
    for read in (read_volume, read_whole_volume, read_grid):
        with pytest.raises(VolumeError, match=told):
            read(path)
    if kind not in ("a folder", "absent"):
        with pytest.raises(OSError, match=r"no file|No such file|symbolic links"):
            file_fingerprint(path)
        with pytest.raises(OSError, match=r"no file|No such file|symbolic links"):
            volume_fingerprint(path)
    assert isinstance(content_fingerprint(str(path), {}), str)
    source = SourceVolume(str(path))
    assert source.fingerprint
    assert source.header_facts() == {}
    assert source.file in (None, path)
    with pytest.raises(VolumeError):
        source.whole()


def volume():
    voxels = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    return sitk.GetImageFromArray(voxels)


MHD = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\n"
    "DimSize = {size}\nElementType = MET_SHORT\nElementDataFile = {file}\n"
)
NHDR = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {size}\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\n"
    "encoding: raw\nspace origin: (0,0,0)\ndata file: {file}\n\n"
)
SIZE = "7 6 5"


@pytest.fixture
def secret(tmp_path):
    """A file elsewhere on the machine, large enough to be a volume."""
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "secret.raw"
    path.write_bytes(bytes(range(210)) * 2)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


def linked(folder, secret):
    (folder / "scan.raw").symlink_to(secret)
    return "scan.raw"


def linked_folder(folder, secret):
    (folder / "raw").symlink_to(secret.parent)
    return "raw/secret.raw"


OUTSIDE = {
    "absolute": lambda folder, secret: str(secret),
    "above": lambda folder, secret: "../elsewhere/secret.raw",
    "hidden above": lambda folder, secret: "raw/../../elsewhere/secret.raw",
    "a link": linked,
    "below a link": linked_folder,
    "listed": lambda folder, secret: "LIST\n../elsewhere/secret.raw",
    "listed and absolute": lambda folder, secret: f"LIST 3\n{secret}",
    "numbered": lambda folder, secret: "../elsewhere/%d.raw 1 1 1",
}


@pytest.mark.parametrize("suffix", [".mhd", ".mha", ".nhdr", ".nrrd"])
@pytest.mark.parametrize("where", OUTSIDE)
def test_a_headers_data_file_lies_in_its_folder(folder, secret, where, suffix):
    header = MHD if suffix.startswith(".m") else NHDR
    path = folder / f"scan{suffix}"
    path.write_text(header.format(size=SIZE, file=OUTSIDE[where](folder, secret)))
    for read in (read_whole_volume, read_volume, read_grid):
        with pytest.raises(VolumeError, match=r"outside its folder"):
            read(path)
    with pytest.raises(VolumeError):
        SourceVolume(str(path)).whole()


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize("place", ["scan.raw", "raw/scan.raw"])
def test_a_data_file_beside_its_header_or_below_is_read(folder, suffix, place):
    header = MHD if suffix == ".mhd" else NHDR
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(sitk.GetArrayFromImage(volume()).tobytes())
    path = folder / f"scan{suffix}"
    path.write_text(header.format(size=SIZE, file=place))
    read = SourceVolume(str(path)).whole()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(volume()))


META_LINE, NRRD_LINE = "ElementDataFile = {file}\n", "data file: {file}\n"
LONG_LIST = "ElementDataFile = LIST\n" + "=LOCAL\n" * 200_000 + "{file}\n"
SPELLINGS = {
    "colon": (".mhd", MHD, META_LINE, "ElementDataFile: {file}\n"),
    "twice the sign": (".mhd", MHD, META_LINE, "ElementDataFile == {file}\n"),
    "space before": (".mhd", MHD, META_LINE, "\vElementDataFile = {file}\n"),
    "two lines": (".mhd", MHD, META_LINE, "ElementDataFile\n= {file}\n"),
    "end of a text": (".mhd", MHD, META_LINE, "ElementDataFile\0 = {file}\n"),
    "not the first": (".mhd", MHD, META_LINE, f"Comment = {META_LINE[:-7]}LOCAL\n{META_LINE}"),
    "far below": (".mhd", MHD, META_LINE, f"Comment = {'x' * (1 << 20)}\n{META_LINE}"),
    "far below in a list": (".mhd", MHD, META_LINE, LONG_LIST),
    "list with lengths": (".nhdr", NHDR, NRRD_LINE, "data file: SKIPLIST\n0 {file}\n"),
    "other line ends": (".nhdr", NHDR, NRRD_LINE, f"# \r{NRRD_LINE}"),
    "key and value before": (".nhdr", NHDR, NRRD_LINE, f"data file:=LOCAL\n{NRRD_LINE}"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_data_file_elsewhere_is_found_however_it_is_spelt(folder, secret, name):
    suffix, header, line, spelt = SPELLINGS[name]
    for decoy in ("=LOCAL", "SKIPLIST"):
        (folder / decoy).touch()
    path = folder / f"scan{suffix}"
    text = header.replace(line, spelt).format(size=SIZE, file=secret)
    path.write_bytes(text.encode())
    for read in (read_volume, read_whole_volume, read_grid):
        with pytest.raises(VolumeError, match=r"outside its folder|longer than|cannot be had"):
            read(path)


def test_a_numbered_data_file_that_is_a_link_is_found(folder, secret):
    (folder / "scan1.raw").symlink_to(secret)
    (folder / "scan.mhd").write_text(MHD.format(size="7 6 1", file="scan%i.raw 1 1 1"))
    with pytest.raises(VolumeError, match="data file"):
        read_volume(folder / "scan.mhd")


def test_a_data_file_that_is_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "scan.raw")
    for suffix, header in ((".mhd", MHD), (".nhdr", NHDR)):
        path = folder / f"scan{suffix}"
        path.write_text(header.format(size=SIZE, file="scan.raw"))
        with pytest.raises(VolumeError, match="is a pipe"):
            read_whole_volume(path)


def huge_nifti(path, size=(2048, 2048, 1024), compressed=True):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(size)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = header.binaryblock + bytes(4)
    with gzip.open(path, "wb", 1) if compressed else path.open("wb") as file:
        file.write(content + bytes(1 << 20))


def gzip_bomb(path):
    """A small volume, and gigabytes of zeros behind it."""
    sitk.WriteImage(volume(), str(path.with_name("small.nii")))
    small = path.with_name("small.nii").read_bytes()
    zeros = gzip.compress(bytes(1 << 24))
    path.write_bytes(gzip.compress(small) + zeros * 64)


PROMISES = {
    "NIfTI": ("scan.nii.gz", huge_nifti),
    "NIfTI uncompressed": ("scan.nii", lambda path: huge_nifti(path, compressed=False)),
    "NIfTI of 4 GB in few bytes": ("scan.nii.gz", lambda p: huge_nifti(p, (1024, 1024, 2000))),
    "NIfTI of 30000 in each direction": ("scan.nii.gz", lambda p: huge_nifti(p, (30000,) * 3)),
    "MetaImage": (
        "scan.mha",
        lambda path: path.write_text(MHD.format(size="2048 2048 1024", file="LOCAL")),
    ),
    "NRRD": (
        "scan.nrrd",
        lambda path: path.write_text(
            NHDR.format(size="2048 2048 1024", file="").replace("data file: \n", "")
        ),
    ),
}


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from coala_kedro.imaging.files import VolumeError
from coala_kedro.sources import SourceVolume

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    try:
        SourceVolume(path).whole()
    except VolumeError as error:
        print(error)
"""


@pytest.mark.slow  # a process of its own, which imports everything again
def test_a_size_that_a_file_cannot_have_is_told_before_memory_is_taken(tmp_path):
    paths = []
    for kind, (name, make) in PROMISES.items():
        paths.append(tmp_path / kind / name)
        paths[-1].parent.mkdir()
        make(paths[-1])
    told = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, *paths],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert len(lines) == len(paths), told.stdout
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith(f"{path} cannot be read: its header tells of")


def test_a_bomb_behind_a_small_volume_is_told_in_little_memory(tmp_path):
    gzip_bomb(tmp_path / "scan.nii.gz")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(VolumeError, match=r"unpacks to more than"):
        read_whole_volume(tmp_path / "scan.nii.gz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_header_of_another_length_is_no_pair(tmp_path):
    (tmp_path / "scan.hdr").write_bytes(struct.pack("<i", 348) + bytes(344))
    os.mkfifo(tmp_path / "scan.img")
    with pytest.raises(VolumeError):
        read_whole_volume(tmp_path / "scan.hdr")
