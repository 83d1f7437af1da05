import json
import pickle

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.child_process import logged
from coala_kedro.disk import DiskFullError, room_in
from coala_kedro.nnunet.planning import canonical_cases
from coala_kedro.nnunet.written import WrittenError, check_written


@pytest.fixture
def files(tmp_path):
    """What nnU-Net leaves, by its ending; a label map ends with zeros, as background does."""
    labels = np.zeros((8, 40, 40), np.uint8)
    labels[1:3, 5:15, 5:15] = 13
    made = {end: tmp_path / f"scan{end}" for end in (".nii.gz", ".b2nd", ".pkl", ".json")}
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(made[".nii.gz"]), useCompression=True)
    blosc2.asarray(labels, urlpath=str(made[".b2nd"]))
    made[".pkl"].write_bytes(pickle.dumps({"spacing": [1.0] * 50}))
    made[".json"].write_text(json.dumps({"Dice": 0.5}))
    return made


@pytest.mark.parametrize("end", [".nii.gz", ".b2nd", ".pkl", ".json"])
def test_what_is_cut_anywhere_is_named(files, end):
    check_written(files.values())
    whole = files[end].read_bytes()
    for n_bytes in [*range(0, len(whole), 1 + len(whole) // 10), len(whole) - 1]:
        files[end].write_bytes(whole[:n_bytes])
        with pytest.raises(WrittenError, match=rf"scan\{end} was not written whole .*same command"):
            check_written(files.values())
    files[end].unlink()
    with pytest.raises(WrittenError, match=rf"scan\{end} was not written whole"):
        check_written(files.values())


@pytest.mark.parametrize("free_kb", [4, 16])
def test_a_canonical_copy_that_meets_a_full_disk_is_not_there(tmp_path, disk_of, free_kb):
    voxels = np.random.default_rng(0).integers(-1000, 1000, (8, 40, 40), np.int16)
    flipped = sitk.GetImageFromArray(voxels)
    flipped.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(flipped, str(tmp_path / "scan.nii.gz"))
    case = {"images": [str(tmp_path / "scan.nii.gz")], "label": str(tmp_path / "scan.nii.gz")}
    raw = disk_of(free_kb)
    with pytest.raises(DiskFullError, match=rf"disk of {raw}/\w+ is full: a volume needs"):
        canonical_cases({"a": case}, raw)
    assert not [path for path in raw.rglob("*") if path.is_file()]


def print_and_fail(n):
    print("x" * n, flush=True)  # noqa: T201
    raise ValueError("out of paper")


def test_a_log_on_a_full_disk_hides_no_reason(disk_of):
    disk = disk_of(8)
    with (
        pytest.raises(DiskFullError, match=rf"disk of {disk} is full: a fold needs 0\.1 MB and"),
        logged(disk / "console.log"),
        room_in(disk, "a fold", lambda: 100_000),
    ):
        print_and_fail(20_000)
    assert (disk / "console.log").stat().st_size <= 8192


def test_another_reason_is_told_on_a_disk_with_room(disk_of):
    disk = disk_of(4000)
    with (
        pytest.raises(ValueError, match="out of paper"),
        logged(disk / "console.log"),
        room_in(disk, "a fold", lambda: 100_000),
    ):
        raise ValueError("out of paper")
    assert "out of paper" in (disk / "console.log").read_text()
    assert [path.name for path in disk.iterdir()] == ["console.log"]
