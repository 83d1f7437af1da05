"""A folder of volumes whose making was killed or failed half-way."""

import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DatasetError

from coala_kedro.datasets import VolumeFolderDataset
from coala_kedro.datasets import volume as volume_module
from coala_kedro.imaging.files import read_whole_volume

SCANS = [f"scan_{n}" for n in range(6)]
STOPS_AT = "scan_3"


class Calls(list):
    """Which scans were made; no part of a recipe's fingerprint."""

    fingerprint = ""


class Stop:
    """What happens instead of a volume; no part of a recipe's fingerprint."""

    fingerprint = ""

    def __init__(self, stop=None):
        self.stop = stop


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ValueError("two readers differ")


def make(calls, stop, scan, value):
    calls.append(scan)
    if stop.stop and scan == STOPS_AT:
        stop.stop()
    return volume_of(value)


def make_masks(stop, scan, value):
    return {"one": volume_of(value), "two": stop.stop or volume_of(value)}


def volume_of(value):
    noise = np.random.default_rng(value).integers(-1000, 1000, (8, 8, 8), np.int16)
    return sitk.GetImageFromArray(noise)


def recipes(calls, stop=None, value=1):
    return {scan: partial(make, calls, Stop(stop), scan, value) for scan in SCANS}


def killed(work):
    """Run in a process of its own that SIGKILL ends."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    return process.exitcode == -signal.SIGKILL


def die_while_writing(folder, data):
    """Save with a SimpleITK that dies in the middle of the file of one scan."""
    write = sitk.WriteImage

    def half_write(image, path, **options):
        write(image, path, **options)
        if STOPS_AT in path:
            Path(path).write_bytes(Path(path).read_bytes()[:200])
            kill_me()

    volume_module.sitk.WriteImage = half_write
    VolumeFolderDataset(path=str(folder)).save(data)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "internal" / "masks"


def assert_incomplete(folder, made):
    dataset = VolumeFolderDataset(path=str(folder))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=f"{folder} is not complete: run the step .* again"):
        dataset.load()
    assert sorted(path.name for path in folder.glob("[!.]*")) == [f"{s}.nii.gz" for s in made]
    for path in folder.glob("[!.]*"):
        assert sitk.Hash(sitk.ReadImage(str(path))) == sitk.Hash(volume_of(1))


def assert_retry_makes(folder, scans):
    dataset, calls = VolumeFolderDataset(path=str(folder)), Calls()
    dataset.save(recipes(calls))
    assert calls == scans
    assert dataset.exists()
    loaded = dataset.load()
    assert list(loaded) == SCANS
    assert {sitk.Hash(read_whole_volume(volume.path)) for volume in loaded.values()} == {
        sitk.Hash(volume_of(1))
    }


def test_killed_while_it_makes_a_scan(folder):
    dataset = VolumeFolderDataset(path=str(folder))
    assert killed(lambda: dataset.save(recipes(Calls(), kill_me)))
    assert_incomplete(folder, SCANS[:3])
    assert_retry_makes(folder, SCANS[3:])


def test_killed_while_it_writes_a_scan(folder):
    assert killed(lambda: die_while_writing(folder, recipes(Calls())))
    assert list(folder.glob(f".*{STOPS_AT}*")), "the half file lies under another name"
    assert_incomplete(folder, SCANS[:3])
    assert_retry_makes(folder, SCANS[3:])


def test_a_folder_of_the_raw_layout_is_refused_too_when_killed(folder):
    dataset = VolumeFolderDataset(path=str(folder), raw=True)
    assert killed(lambda: dataset.save(recipes(Calls(), kill_me)))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="is not complete"):
        dataset.load()


def test_a_raw_folder_whose_very_first_scan_failed_is_refused_too(folder):
    folder.mkdir(parents=True)
    sitk.WriteImage(volume_of(1), str(folder / "by_hand.nii.gz"))
    dataset = VolumeFolderDataset(path=str(folder), raw=True)
    with pytest.raises(DatasetError, match="scan 'scan_0': two readers differ"):
        dataset.save({"scan_0": fail})
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="is not complete"):
        dataset.load()


def test_a_complete_folder_that_is_killed_while_it_is_remade_is_incomplete(folder):
    dataset = VolumeFolderDataset(path=str(folder))
    dataset.save(recipes(Calls(), value=2))
    assert killed(lambda: dataset.save(recipes(Calls(), kill_me)))
    assert not dataset.exists()
    assert_retry_makes(folder, SCANS[3:])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_exception_names_the_scan_and_keeps_what_was_made(folder, n_jobs):
    calls = Calls()
    dataset = VolumeFolderDataset(path=str(folder), n_jobs=n_jobs)
    with pytest.raises(DatasetError, match="internal/masks, scan 'scan_3': two readers differ"):
        dataset.save(recipes(calls, fail))
    assert not dataset.exists()
    again = Calls()
    dataset.save(recipes(again))
    assert STOPS_AT in again
    # The other worker may have been busy with an earlier scan.
    assert len(set(again) & set(SCANS[:3])) < n_jobs
    assert dataset.exists()


def test_what_cannot_be_written_names_the_scan(folder):
    with pytest.raises(DatasetError, match="internal/masks, scan 'scan_1': "):
        VolumeFolderDataset(path=str(folder)).save({"scan_1": lambda: "no image"})


def test_parameters_that_are_changed_and_changed_back_leave_no_mixture(folder):
    dataset = VolumeFolderDataset(path=str(folder))
    first = {"a": partial(make_masks, Stop(), "a", 1)}
    dataset.save(first)
    with pytest.raises(DatasetError):
        dataset.save({"a": partial(make_masks, Stop("no image"), "a", 2)})
    dataset.save(first)
    loaded = dataset.load()
    assert {sitk.Hash(volume()) for volume in loaded.values()} == {sitk.Hash(volume_of(1))}
