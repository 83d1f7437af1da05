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
