import time

import psutil
import pytest
from lazily import Module, torch

usage = Module("coala_kedro.nnunet.usage")

pytestmark = pytest.mark.xdist_group("torch")


@pytest.mark.parametrize("every_s", [0.1, 60.0])
def test_a_busy_process_is_seen_and_an_idle_one_too(monkeypatch, every_s):
    monkeypatch.setattr("coala_kedro.nnunet.usage._EVERY_S", every_s)
    with usage.Usage(torch.device("cpu")).watched() as used:
        used.take()
        began, spun = time.monotonic(), time.process_time()
        while time.process_time() - spun < 0.6:
            sum(range(1000))
        expected = 100 * (time.process_time() - spun) / (time.monotonic() - began)
        busy = used.take()
        time.sleep(0.6)
        idle = used.take()
    assert busy.keys() == {"cpu_percent", "memory_gb"}
    assert busy["cpu_percent"] == pytest.approx(expected, abs=30)
    assert idle["cpu_percent"] < busy["cpu_percent"] / 2
    assert busy["memory_gb"] == pytest.approx(psutil.Process().memory_info().rss / 1e9, rel=0.2)


def test_a_gpus_memory_is_told_and_its_use_where_it_can_be(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2_000_000_000, 8_000_000_000))
    gpu = usage.Usage(torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 97)
    figures = gpu.take()
    assert (figures["gpu_memory_gb"], figures["gpu_percent"]) == (6.0, 97.0)

    def no_library(device):
        raise ModuleNotFoundError("pynvml")

    monkeypatch.setattr(torch.cuda, "utilization", no_library)
    figures = gpu.take()
    assert figures["gpu_memory_gb"] == 6.0
    assert "gpu_percent" not in figures
