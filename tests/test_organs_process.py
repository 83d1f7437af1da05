import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.organs import OrganSegmenterError
from coala_kedro.organs import process as process_module
from coala_kedro.organs.process import TotalSegmentatorProcess


@pytest.fixture
def scan():
    return sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_names_the_scan_when_the_process_is_killed(tmp_path, scan, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import os; input(); print('last words', flush=True, file=open(2, 'w'));"
        "os.kill(os.getpid(), 9)"
    )
    monkeypatch.setattr(process_module, "_WORKER", worker)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OrganSegmenterError, match=r"crlm_007.*-9(.|\n)*last words"):
        TotalSegmentatorProcess().segment("crlm_007", scan, {})
    assert list(tmp_path.iterdir()) == [worker]


def test_is_kept_for_the_next_scan_and_ends_when_it_rests(tmp_path, scan, monkeypatch):
    worker, starts = tmp_path / "worker.py", tmp_path / "starts"
    worker.write_text(
        "import json, shutil, sys\n"
        f"open({str(starts)!r}, 'a').write('x')\n"
        "for line in sys.stdin:\n"
        "    request = json.loads(line)\n"
        "    shutil.copy(request['scan_file'], request['mask_file'])\n"
        "    print(json.dumps({'error': request['fault']}), flush=True)\n"
    )
    monkeypatch.setattr(process_module, "_WORKER", worker)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    process = TotalSegmentatorProcess()
    for _ in range(2):
        reply = process.segment("crlm_007", scan, {"fault": None})
        assert np.array_equal(sitk.GetArrayFromImage(reply), sitk.GetArrayFromImage(scan))
    assert starts.read_text() == "x"
    with pytest.raises(OrganSegmenterError, match=r"crlm_007.*out of paper"):
        process.segment("crlm_007", scan, {"fault": "out of paper"})
    monkeypatch.setattr(process_module, "REST_S", 0.1)
    process.segment("crlm_007", scan, {"fault": None})
    assert starts.read_text() == "xx"
    deadline = time.monotonic() + 10
    while set(tmp_path.iterdir()) != {worker, starts}:
        assert time.monotonic() < deadline, "the process does not rest"
        time.sleep(0.02)


COPYING = (
    "import json, shutil, sys\n"
    "for line in sys.stdin:\n"
    "    request = json.loads(line)\n"
    "    shutil.copy(request['scan_file'], request['mask_file'])\n"
    "    CUT\n"
    "    print(json.dumps({'error': None}), flush=True)\n"
)


@pytest.mark.parametrize("n_bytes", [0, 100, 352, 400, 471])
def test_a_mask_that_is_cut_is_no_mask(tmp_path, scan, monkeypatch, n_bytes):
    worker = tmp_path / "worker.py"
    worker.write_text(
        COPYING.replace("CUT", f"__import__('os').truncate(request['mask_file'], {n_bytes})")
    )
    monkeypatch.setattr(process_module, "_WORKER", worker)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OrganSegmenterError, match=r"Scan crlm_007: .*mask\.nii (is trunc|cannot)"):
        TotalSegmentatorProcess().segment("crlm_007", scan, {})


@pytest.mark.parametrize("size_kb", [4, 40, 60, 84])  # log, scan, and with it a part of the mask
def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch, disk_of, size_kb):
    scan = sitk.GetImageFromArray(np.arange(24_000, dtype=np.int16).reshape(20, 30, 40))
    worker = tmp_path / "worker.py"
    worker.write_text(COPYING.replace("CUT", "pass"))
    monkeypatch.setattr(process_module, "_WORKER", worker)
    disk = disk_of(size_kb)
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    with pytest.raises(OrganSegmenterError, match=rf"Scan crlm_007: The disk of {disk}/.* is full"):
        TotalSegmentatorProcess().segment("crlm_007", scan, {})
    assert not list(disk.iterdir())
    disk_of(1000)
    process = TotalSegmentatorProcess()
    mask = process.segment("crlm_007", scan, {})
    assert np.array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(scan))
    process.stop()


def test_ends_with_its_parent_and_leaves_nothing(tmp_path):
    code = (
        "import time; from coala_kedro.organs.process import TotalSegmentatorProcess as P;"
        "p = P(); print(p._running().pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    worker = int(parent.stdout.readline())
    assert len(list(tmp_path.iterdir())) == 1
    os.kill(worker, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while is_running(worker) or any(tmp_path.iterdir()):
        assert time.monotonic() < deadline, "the worker outlives its parent"
        time.sleep(0.1)
