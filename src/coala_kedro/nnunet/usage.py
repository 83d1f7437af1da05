"""How busy a training keeps its processes and its GPU, epoch by epoch.

MLflow's `log_system_metrics` tells of the whole machine and all its GPUs, which trainings share,
ends for good when its server is away once, and leaves nothing for `training_curves.csv`.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import psutil
import torch

_EVERY_S = 5.0


class Usage:
    """What this process, those it started and its GPU did since it was last asked."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._asked, self._cpu_seconds = 0.0, 0.0
        self._gpu_percent: list[float] = []

    @contextlib.contextmanager
    def watched(self) -> Iterator["Usage"]:
        """Look at the GPU in the background: NVIDIA's library tells of the last second alone."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_EVERY_S):
                self._look()

        self.take()
        threading.Thread(target=watch, daemon=True).start()
        try:
            yield self
        finally:
            ended.set()

    def take(self) -> dict[str, float]:
        """`cpu_percent` (100 a core), `memory_gb`; on a GPU `gpu_percent`, `gpu_memory_gb`."""
        seconds, memory, before = 0.0, 0, (self._asked, self._cpu_seconds)
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended, or is not ours to look at
                memory += process.memory_info().rss
                seconds += sum(process.cpu_times()[:4])  # with its children that have ended
        self._asked, self._cpu_seconds = time.monotonic(), seconds
        percent = 100 * (seconds - before[1]) / (self._asked - before[0])
        figures = {"cpu_percent": percent, "memory_gb": memory / 1e9}
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            figures["gpu_memory_gb"] = (total - free) / 1e9
            self._look()
            looks, self._gpu_percent = self._gpu_percent, []
            if looks:
                figures["gpu_percent"] = sum(looks) / len(looks)
        return figures

    def _look(self) -> None:
        with contextlib.suppress(Exception):  # no GPU, or NVIDIA's library is absent or too old
            self._gpu_percent.append(float(torch.cuda.utilization(self._device)))
