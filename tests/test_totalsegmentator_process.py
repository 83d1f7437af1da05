import multiprocessing
import os
import signal
import subprocess
import sys
import time

import fake_totalsegmentator as fake
import numpy as np
import pytest
import SimpleITK as sitk
from own_processes import end_waiting, is_running

from coala_kedro import processes
from coala_kedro.organs import LIVER_ID, SPLEEN_ID, OrganSegmenterError, TotalSegmentator

pytestmark = pytest.mark.slow


def scan_of(shape):
    """A scan whose voxels are class ids, so that a copy of it is an organ mask."""
    labels = np.random.default_rng(0).choice([0, LIVER_ID, SPLEEN_ID], shape)
    return sitk.GetImageFromArray(labels.astype(np.int16))


@pytest.fixture
def scan():
    return scan_of((3, 4, 5))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def segmenter(tmp_path, temporary):
    end_waiting()
    yield TotalSegmentator("cpu", fake.write_weights(tmp_path / "weights"))
    end_waiting()


def assert_is(mask, scan):
    assert np.array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(scan))


def test_names_the_scan_when_the_process_is_killed(
    tmp_path, scan, segmenter, temporary, monkeypatch
):
    kill = "print('last words'); os.kill(os.getpid(), 9)"
    fake.install(tmp_path / "fake", monkeypatch, kill)
    told = r"crlm_007.*killed or ran out of memory \(SIGKILL\).*11 GB(.|\n)*last words"
    with pytest.raises(OrganSegmenterError, match=told):
        segmenter.segment("crlm_007", scan)
    assert not list(temporary.iterdir())


def test_is_kept_for_the_next_scan_and_ends_when_it_rests(
    tmp_path, scan, segmenter, temporary, monkeypatch
):
    note = f"open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}} ')"
    fake.install(tmp_path / "fake", monkeypatch, f"{note}; {fake.COPY}")
    for _ in range(2):
        assert_is(segmenter.segment("crlm_007", scan), scan)
        assert not list(temporary.iterdir())
    monkeypatch.setattr(processes, "REST_S", 0.1)
    segmenter.segment("crlm_007", scan)
    (pid,) = {*map(int, (tmp_path / "pids").read_text().split())}
    wait_until(lambda: not is_running(pid))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise LookupError('out of paper')", "LookupError: out of paper"),
        ("sys.exit('ERROR: no licence')", "SystemExit: ERROR: no licence"),
    ],
)
def test_a_failure_names_the_scan_and_ends_the_process(
    tmp_path, scan, segmenter, monkeypatch, fault, told
):
    before = {*multiprocessing.active_children()}
    fake.install(tmp_path / "fake", monkeypatch, fault)
    with pytest.raises(
        OrganSegmenterError, match=rf"Scan crlm_007: .*{told}(.|\n)*python_api(.|\n)*{told}"
    ):
        segmenter.segment("crlm_007", scan)
    assert {*multiprocessing.active_children()} <= before


@pytest.mark.parametrize("n_bytes", [0, 100, 352, 400, 471])
def test_a_mask_that_is_cut_is_no_mask(tmp_path, scan, segmenter, monkeypatch, n_bytes):
    fake.install(tmp_path / "fake", monkeypatch, f"{fake.COPY}; os.truncate(mask_file, {n_bytes})")
    with pytest.raises(OrganSegmenterError, match=r"Scan crlm_007: .*mask\.nii (is trunc|cannot)"):
        segmenter.segment("crlm_007", scan)


@pytest.mark.parametrize("size_kb", [4, 40, 60, 84])  # settings, scan, and then a part of the mask
def test_a_full_disk_is_told_as_such(tmp_path, segmenter, monkeypatch, disk_of, size_kb):
    scan = scan_of((20, 30, 40))
    fake.install(tmp_path / "fake", monkeypatch)
    disk = disk_of(size_kb)
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    with pytest.raises(OrganSegmenterError, match=rf"Scan crlm_007: The disk of {disk}/.* is full"):
        segmenter.segment("crlm_007", scan)
    assert not list(disk.iterdir())
    disk_of(1000)
    assert_is(segmenter.segment("crlm_007", scan), scan)


STUDY = """
import sys
import SimpleITK as sitk
import torch  # which looks into weights, and the stand-in would not

sys.path.insert(0, {fake!r})
from coala_kedro.organs import TotalSegmentator

TotalSegmentator("cpu", {weights!r}).segment("crlm_007", sitk.Image(5, 4, 3, sitk.sitkInt16))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ends_with_its_parent_and_leaves_nothing(
    tmp_path, segmenter, temporary, monkeypatch, number
):
    """SIGINT comes to the parent alone, as in a notebook."""
    note = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))"
    fake.install(tmp_path / "fake", monkeypatch, f"{note}; time.sleep(60)")
    code = STUDY.format(fake=str(tmp_path / "fake"), weights=segmenter.weights_path)
    environment = {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path[1:])}
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | environment)
    pid_file = tmp_path / "pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text(), 60)
    assert len(list(temporary.iterdir())) == 1
    parent.send_signal(number)
    parent.wait()
    worker = int(pid_file.read_text())
    wait_until(lambda: not is_running(worker) and not any(temporary.iterdir()), 20)


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
