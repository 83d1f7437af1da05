"""Disks that are full for real: what is written on them is right, or is not there."""

import contextlib
import resource
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DatasetError
from volume_file import VolumeFile

from coala_kedro.datasets import (
    FigureDataset,
    LazyVolume,
    RecordFolderDataset,
    VolumeFolderDataset,
)
from coala_kedro.disk import DiskFullError
from coala_kedro.imaging.files import VolumeError, is_whole, read_whole_volume
from coala_kedro.provenance import read_provenance, write_provenance
from coala_kedro.report.plots import panels

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
ENOUGH_KB = 10_000


def noise(seed):
    """Hardly compressible: about 40 kB."""
    voxels = np.random.default_rng(seed).integers(-1000, 1000, (8, 50, 60), np.int16)
    return sitk.GetImageFromArray(voxels)


def mask():
    """Zeros at its end: what SimpleITK reads of a cut file may even be right."""
    voxels = np.zeros((8, 50, 60), np.uint8)
    voxels[1:3, 10:20, 10:30] = 1
    return sitk.GetImageFromArray(voxels)


def same(one, other):
    return sitk.Hash(one) == sitk.Hash(other)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def files_of_at_most(n_bytes):
    """A limit that the kernel enforces: the write that passes it is cut, then refused (EFBIG)."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("free_kb", [4, 12, 32])  # the header, in mid-stream, near the end
def test_a_volume_that_meets_a_full_disk_is_not_there(disk_of, suffix, free_kb):
    folder = disk_of(free_kb)
    dataset = VolumeFile(filepath=str(folder / f"scan{suffix}"))
    with pytest.raises(
        DatasetError, match=rf"disk of {folder} is full: a volume needs 48\.4 kB and .* free"
    ):
        dataset.save(noise(1))
    assert names(folder) == []
    disk_of(ENOUGH_KB)
    dataset.save(noise(1))
    assert same(dataset.load(), noise(1))
    # A second one leaves the first as it was.
    disk_of(sum(path.stat().st_size for path in folder.iterdir()) // 1000 + 8)
    with pytest.raises(DatasetError, match="is full: a volume needs"):
        dataset.save(noise(2))
    assert names(folder) == [f"scan{suffix}"]
    assert same(dataset.load(), noise(1))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha"])
@pytest.mark.parametrize("volume", [noise(1), mask()], ids=["noise", "mask"])
def test_a_volume_that_is_cut_at_any_byte_is_not_there(disk_of, suffix, volume):
    folder = disk_of(ENOUGH_KB)
    dataset = VolumeFile(filepath=str(folder / f"scan{suffix}"))
    dataset.save(volume)
    (whole,) = folder.iterdir()
    n_bytes = whole.stat().st_size
    whole.unlink()
    for limit in [*range(0, n_bytes, 1 + n_bytes // 8), *range(max(n_bytes - 9, 0), n_bytes)]:
        with files_of_at_most(limit), pytest.raises(DatasetError, match="limit of its size"):
            dataset.save(volume)
        assert names(folder) == []
    with files_of_at_most(n_bytes):
        dataset.save(volume)
    assert same(dataset.load(), volume)


@pytest.mark.parametrize("volume", [noise(1), mask()], ids=["noise", "mask"])
def test_a_nrrd_that_lacks_its_checksum_at_most_reads_right(disk_of, volume):
    path = disk_of(ENOUGH_KB) / "scan.nrrd"
    dataset = VolumeFile(filepath=str(path))
    dataset.save(volume)
    n_bytes = path.stat().st_size
    for limit in [*range(0, n_bytes, 1 + n_bytes // 8), *range(n_bytes - 20, n_bytes)]:
        path.unlink(missing_ok=True)
        with files_of_at_most(limit), contextlib.suppress(DatasetError):
            dataset.save(volume)
        assert not dataset.exists() or same(dataset.load(), volume)
        assert dataset.exists() <= (limit >= n_bytes - 10)  # of gzip's checksum


def asked():
    return {f"s{k}": partial(noise, k) for k in range(3)}


def error_of(dataset):
    try:
        dataset.save(asked())
    except (DatasetError, DiskFullError) as error:
        return str(error)
    return ""


def test_a_folder_that_meets_a_full_disk_goes_on_when_there_is_room(disk_of):
    """The disk is full at each moment in turn: volumes, marks, the mark of completeness."""
    told = []
    for free_kb in range(4, 200, 16):
        folder = disk_of(free_kb) / f"masks_{free_kb}"
        dataset = VolumeFolderDataset(path=str(folder))
        if error := error_of(dataset):
            told.append(error)
            assert not dataset.exists()
            with pytest.raises(DatasetError):
                dataset.load()
            disk_of(ENOUGH_KB)
            dataset.save(asked())
        loaded = dataset.load()
        assert list(loaded) == ["s0", "s1", "s2"]
        for k, volume in enumerate(loaded.values()):
            assert same(read_whole_volume(volume.path), noise(k))
        assert not list(folder.rglob(".partial-*"))
        disk_of(ENOUGH_KB)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert len(told) > 6
    for error in told:
        assert "is full: " in error
        assert " are free. What was finished is kept: make room" in error


def test_what_was_made_before_the_disk_was_full_stands(disk_of):
    folder = disk_of(110) / "masks"
    dataset = VolumeFolderDataset(path=str(folder))
    with pytest.raises(DatasetError, match=r"disk/masks, scan 's2': .*disk of .*masks is full"):
        dataset.save(asked())
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("s*")}
    assert list(times) == ["s0.nii.gz", "s1.nii.gz"] or set(times) == {"s0.nii.gz", "s1.nii.gz"}
    disk_of(ENOUGH_KB)
    dataset.save(asked())
    assert all((folder / name).stat().st_mtime_ns == at for name, at in times.items())


def predicted(seed):
    """As a prediction: a label map and the folds' votes of one scan."""
    return {"label_maps": mask(), "fold_votes": noise(seed)}


@pytest.mark.parametrize("free_kb", [16, 28, 44, 60, 72])
def test_a_scan_of_two_volumes_has_both_or_stands_for_none(disk_of, free_kb):
    folder = disk_of(free_kb) / "predictions"
    dataset = VolumeFolderDataset(path=str(folder))
    recipes = {f"s{k}": partial(predicted, k) for k in range(2)}
    with pytest.raises((DatasetError, DiskFullError), match="is full: "):
        dataset.save(recipes)
    assert not dataset.exists()
    disk_of(ENOUGH_KB)
    dataset.save(recipes)
    loaded = dataset.load()
    assert len(loaded) == 4
    assert all(same(loaded[f"fold_votes/s{k}"](), noise(k)) for k in range(2))
    assert all(same(loaded[f"label_maps/s{k}"](), mask()) for k in range(2))


def test_records_that_meet_a_full_disk_are_not_there(disk_of):
    folder = disk_of(36) / "facts"
    dataset = RecordFolderDataset(path=str(folder))
    records = {f"s{k}": {"values": list(range(k, 1500 + k))} for k in range(4)}
    with pytest.raises((DatasetError, DiskFullError), match=r"is full: a record needs .* kB"):
        dataset.save(records)
    assert not dataset.exists()
    disk_of(ENOUGH_KB)
    dataset.save(records)
    assert dataset.load() == records


def test_a_mark_that_meets_a_full_disk_leaves_the_one_before(disk_of):
    path = disk_of(8) / ".complete.json"
    write_provenance(path, {"volumes": []})
    with pytest.raises(DiskFullError, match="is full: a record needs"):
        write_provenance(path, {"volumes": ["s"] * 5000})
    assert read_provenance(path) == {"volumes": []}
    assert names(path.parent) == [".complete.json"]


def test_a_cut_volume_of_a_folder_that_counts_as_complete_is_made_again(tmp_path):
    """As a run without these checks left it."""
    dataset = VolumeFolderDataset(path=str(tmp_path / "masks"))
    dataset.save(asked())
    before = {k: (tmp_path / "masks" / f"s{k}.nii.gz").stat().st_mtime_ns for k in range(3)}
    cut = tmp_path / "masks" / "s1.nii.gz"
    cut.write_bytes(cut.read_bytes()[:20_000])
    with pytest.raises(VolumeError, match="truncated or damaged"):
        dataset.load()["s1"]()
    dataset.save(asked())
    assert same(dataset.load()["s1"](), noise(1))
    assert (tmp_path / "masks" / "s0.nii.gz").stat().st_mtime_ns == before[0]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
@pytest.mark.parametrize("volume", [noise(1), mask()], ids=["noise", "mask"])
def test_a_cut_file_is_never_read_as_zeros(tmp_path, suffix, volume):
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(volume, str(path))
    assert is_whole(path)
    assert same(LazyVolume(str(path))(), volume)
    content = path.read_bytes()
    step = 1 + len(content) // 12
    for n_bytes in [*range(0, len(content), step), 40, len(content) - 1]:
        path.write_bytes(content[:n_bytes])
        assert not is_whole(path)
        with pytest.raises(VolumeError, match=r"truncated or damaged|cannot be read"):
            LazyVolume(str(path))()


def test_a_picture_beside_a_figure_is_whole_or_the_one_before(disk_of):
    (figure, _), folder = panels(["internal"], "x", "y"), disk_of(ENOUGH_KB)
    dataset = FigureDataset(filepath=str(folder / "dice.png"))
    dataset.save(figure)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "filler").write_bytes(bytes(1000))
    used = sum(path.stat().st_size // 4096 + 1 for path in folder.iterdir()) * 4
    disk_of(used + 12)
    with pytest.raises(DatasetError, match=f"disk of {folder} is full: a picture needs"):
        dataset.save(figure)
    assert before["dice.png"] == (folder / "dice.png").read_bytes()
    assert before["dice.svg"] == (folder / "dice.svg").read_bytes()


def test_another_fault_of_the_writer_is_told_as_it_is(tmp_path):
    (tmp_path / "scan.nii.gz").mkdir()
    with pytest.raises(DatasetError, match=r"scan\.nii\.gz") as raised:
        VolumeFile(filepath=str(tmp_path / "scan.nii.gz")).save(mask())
    assert "full" not in str(raised.value)
    assert names(tmp_path) == ["scan.nii.gz"]
