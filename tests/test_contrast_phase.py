import importlib.util
import json
import logging

import fake_totalsegmentator as fake
import pytest
import SimpleITK as sitk
from own_processes import end_waiting

from coala_kedro.organs import OrganSegmenterError, TotalSegmentator
from coala_kedro.organs.segmenter import Phase
from coala_kedro.organs.totalsegmentator import _has_xgboost

pytestmark = pytest.mark.xdist_group("torch")


@pytest.fixture
def scan():
    return sitk.Image(5, 4, 3, sitk.sitkInt16)


@pytest.fixture
def tool(monkeypatch):
    """A function that says whether xgboost is there."""
    find = importlib.util.find_spec

    def set_installed(installed):
        spec = importlib.util.find_spec("json") if installed else None
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *_: spec if name == "xgboost" else find(name)
        )
        _has_xgboost.cache_clear()

    set_installed(True)
    yield set_installed
    _has_xgboost.cache_clear()


@pytest.fixture
def segmenter(tmp_path, tool):
    return TotalSegmentator("cpu", fake.write_weights(tmp_path / "weights"))


@pytest.fixture
def phase_tool(tmp_path, monkeypatch):
    """A function that makes the tool do something; returns the file of what it asked for."""
    asked = tmp_path / "asked"
    volume = "return None, {'liver': {'volume': VOLUME}}"
    note = f"open({str(asked)!r}, 'w').write(__import__('json').dumps(options)); "

    def install(tells, liver_volume=1.0):
        segment = note + volume.replace("VOLUME", str(liver_volume))
        fake.install(tmp_path / "fake", monkeypatch, segment, tells)
        return asked

    end_waiting()
    yield install
    end_waiting()


LATE = {"phase": "arterial_late", "probability": 0.7, "pi_time": 55.0, "stddev": 2.0}


@pytest.mark.slow
def test_asks_the_tool_and_names_the_phase(scan, segmenter, phase_tool):
    asked = phase_tool(f"yield {{}}; yield {{'result': {LATE}}}")
    assert segmenter.contrast_phase("crlm_007", scan) == Phase("arterial_late", 0.7)
    assert json.loads(asked.read_text()) == {
        "task": "total",
        "device": "cpu",
        "ml": True,
        "fast": True,
    }


@pytest.mark.slow
def test_no_liver_no_phase(scan, segmenter, phase_tool):
    phase_tool(f"yield {{'result': {LATE}}}", liver_volume=0.0)
    assert segmenter.contrast_phase("crlm_007", scan) is None


@pytest.mark.slow
def test_failure_names_the_scan_and_the_remedy(scan, segmenter, phase_tool):
    phase_tool("yield {}; raise LookupError('out of trees')")
    with pytest.raises(OrganSegmenterError, match=r"Scan crlm_007.*out of trees") as error:
        segmenter.contrast_phase("crlm_007", scan)
    assert "screening.severity.contrast_phase" in str(error.value)


def test_without_xgboost_there_is_no_phase_and_one_word_about_it(scan, tmp_path, tool, caplog):
    tool(False)
    segmenter = TotalSegmentator("cpu", str(tmp_path))
    with caplog.at_level(logging.INFO):
        assert not segmenter.tells_phase
        assert segmenter.contrast_phase("crlm_007", scan) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pip install '.[phase]'" in caplog.text


def test_absent_weights_name_what_downloads_them(scan, tmp_path, tool):
    segmenter = TotalSegmentator("cpu", str(tmp_path))
    assert segmenter.tells_phase
    with pytest.raises(OrganSegmenterError, match="totalseg_download_weights -t total_fast"):
        segmenter.contrast_phase("crlm_007", scan)
