import importlib.util
import json
import logging

import pytest
import SimpleITK as sitk
import torch

from coala_kedro.organs import OrganSegmenterError, phase
from coala_kedro.organs import process as process_module
from coala_kedro.organs.phase import Phase, contrast_phase, phase_tool_available
from coala_kedro.organs.totalsegmentator import CROP_3MM_MODEL, MODEL_FILES, MODEL_FOLDERS

WORKER = """
import json, pathlib, sys
for line in sys.stdin:
    request = json.loads(line)
    assert pathlib.Path(request.pop("scan_file")).is_file()
    pathlib.Path({requests!r}).write_text(json.dumps(request))
    print(json.dumps({reply!r}), flush=True)
"""


@pytest.fixture
def scan():
    return sitk.Image(5, 4, 3, sitk.sitkInt16)


@pytest.fixture
def tool(monkeypatch):
    """A function that says whether xgboost is there."""
    phase._tell_absence.cache_clear()
    find = importlib.util.find_spec

    def set_installed(installed):
        spec = importlib.util.find_spec("json") if installed else None
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *_: spec if name == "xgboost" else find(name)
        )

    set_installed(True)
    return set_installed


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    for name in MODEL_FILES:
        path = folder / MODEL_FOLDERS[CROP_3MM_MODEL] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({}, path) if path.suffix == ".pth" else path.touch()
    return str(folder)


@pytest.fixture
def worker(tmp_path, monkeypatch, tool):
    """A function that makes the worker give this reply; returns the file of its last request."""
    script, requests = tmp_path / "worker.py", tmp_path / "requests"
    monkeypatch.setattr(process_module, "_WORKER", script)
    monkeypatch.setattr(process_module, "_processes", {})

    def reply_with(result=None, error=None):
        reply = {"result": result, "error": error}
        script.write_text(WORKER.format(requests=str(requests), reply=reply))
        return requests

    yield reply_with
    process_module.stop_processes()


def test_asks_the_worker_and_names_the_phase(scan, weights, worker):
    result = {"phase": "arterial_late", "probability": 0.7, "pi_time": 55.0, "stddev": 2.0}
    requests = worker(result)
    assert contrast_phase(scan, "cpu", weights) == Phase("arterial_late", 0.7)
    asked = json.loads(requests.read_text())
    assert asked == {"function": "contrast_phase", "weights": weights, "device": "cpu"}


def test_no_liver_no_phase(scan, weights, worker):
    worker(None)
    assert contrast_phase(scan, "cpu", weights) is None


def test_failure_names_the_scan_and_the_remedy(scan, weights, worker):
    worker(error="XGBoostError: out of trees")
    with pytest.raises(OrganSegmenterError, match=r"Scan crlm_007.*out of trees") as error:
        contrast_phase(scan, "cpu", weights, "crlm_007")
    assert "screening.severity.contrast_phase" in str(error.value)


def test_without_xgboost_there_is_no_phase_and_one_word_about_it(scan, tmp_path, tool, caplog):
    tool(False)
    with caplog.at_level(logging.INFO):
        assert not phase_tool_available()
        assert contrast_phase(scan, "cpu", str(tmp_path)) is None
        assert contrast_phase(scan, "cpu", str(tmp_path)) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pip install '.[phase]'" in caplog.text


def test_absent_weights_name_what_downloads_them(scan, tmp_path, tool):
    assert phase_tool_available()
    with pytest.raises(OrganSegmenterError, match="totalseg_download_weights -t total_fast"):
        contrast_phase(scan, "cpu", str(tmp_path))


def test_unknown_device(scan, weights, tool):
    with pytest.raises(OrganSegmenterError, match="no device 'cuda'"):
        contrast_phase(scan, "cuda", weights)
