"""Signals to a process that works."""

import os
import signal
import threading
import time

import pytest

from coala_kedro import child_process
from coala_kedro.processes import ProcessKind, in_own_process

LIMIT_S = 60


def step_while_signals_come(place):
    """Whether it heard them; it would never come to say so if one caught another at work."""
    with child_process.stoppable() as asked_to_stop:
        place.write_text(str(os.getpid()))
        place.rename(place.with_name("works"))
        while not place.with_name("enough").exists():
            time.sleep(0.001)
        return asked_to_stop()


@pytest.mark.slow
def test_signals_that_come_at_once_keep_no_process_from_ending(tmp_path):
    """As when a run that was asked to stop ends each of its processes a second time."""
    works, heard = tmp_path / "works", threading.Event()

    def ask_often():
        while not works.exists():
            time.sleep(0.02)
        process = int(works.read_text())
        for _ in range(20_000):
            os.kill(process, signal.SIGTERM)
        (tmp_path / "enough").touch()
        if not heard.wait(LIMIT_S):
            os.kill(process, signal.SIGKILL)

    asking = threading.Thread(target=ask_often)
    asking.start()
    try:
        kind = ProcessKind("a tool", 1, "signals")
        assert in_own_process(kind, False, step_while_signals_come, tmp_path / "begins")
    finally:
        heard.set()
        asking.join()
