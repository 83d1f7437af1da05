"""How busy a training keeps its machine, epoch by epoch."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psutil
import torch

_EVERY_S = 5.0


class Usage:
    """Means, over the time since it was last asked, of what this process and its GPU do."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._processes: dict[int, psutil.Process] = {}
        self._samples: list[dict[str, float]] = []
        self._ended, self._turn = threading.Event(), threading.Lock()

    @contextlib.contextmanager
    def watched(self) -> Iterator[Usage]:
        """Sample in the background."""
        self._sample()  # what a process used is told since it was last asked
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def take(self) -> dict[str, float]:
        """`cpu_percent` (100 a core), `memory_gb`; on a GPU `gpu_percent`, `gpu_memory_gb`."""
        with self._turn:
            samples, self._samples = self._samples or [self._sample()], []
        known = {name for sample in samples for name in sample}
        told = {name: [sample[name] for sample in samples if name in sample] for name in known}
        return {name: sum(values) / len(values) for name, values in told.items()}

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            with self._turn:
                self._samples.append(self._sample())

    def _sample(self) -> dict[str, float]:
        me = psutil.Process()
        alive = {p.pid: self._processes.get(p.pid, p) for p in [me, *me.children(recursive=True)]}
        self._processes = alive
        cpu, memory = 0.0, 0
        for process in alive.values():
            try:
                cpu += process.cpu_percent()
                memory += process.memory_info().rss
            except psutil.Error:  # it has ended, or is not ours to look at
                continue
        figures = {"cpu_percent": cpu, "memory_gb": memory / 1e9}
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            figures["gpu_memory_gb"] = (total - free) / 1e9
            with contextlib.suppress(Exception):  # where NVIDIA's library is absent or too old
                figures["gpu_percent"] = float(torch.cuda.utilization(self._device))
        return figures
