"""A run on a local cluster that Ctrl-C ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

INTERRUPTED = """
import signal
import sys
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.json import JSONDataset
from coala_kedro.runners import DaskRunner
from tiny_nodes import train_for_long

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    result = JSONDataset(filepath=sys.argv[1])
    catalog = DataCatalog({"fold_0": result, "params:begun": MemoryDataset(sys.argv[2])})
    node = Node(train_for_long, "params:begun", "fold_0", name="train", tags="gpu")
    DaskRunner(workers=2).run(Pipeline([node]), catalog)
"""
"""As in the foreground of a terminal: a shell's background jobs, and so the runs of tests that are
started with `&`, ignore Ctrl-C from their first moment, and so does all that they start."""


@pytest.fixture(params=["foreground", "background"])
def of_a_shell(request):
    """Start the test's processes as a shell starts its jobs."""
    if request.param == "foreground":
        yield
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, heard)


def is_training(run, begun):
    return begun.exists()


def starts_its_workers(run, begun):
    return len(psutil.Process(run.pid).children()) > 1  # beside multiprocessing's own


@pytest.mark.slow
@pytest.mark.usefixtures("of_a_shell")
@pytest.mark.parametrize("moment", [is_training, starts_its_workers])
def test_ctrl_c_leaves_no_process(tmp_path, moment):
    (tmp_path / "run.py").write_text(INTERRUPTED)
    log = tmp_path / "log.txt"
    with log.open("w") as told:
        run = subprocess.Popen(
            [sys.executable, tmp_path / "run.py", tmp_path / "result.json", tmp_path / "begun"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stderr=told,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not moment(run, tmp_path / "begun"):
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the moment does not come"
            time.sleep(0.02)
        processes = psutil.Process(run.pid).children(recursive=True)
        os.killpg(run.pid, signal.SIGINT)  # what a terminal does
        assert run.wait(60) != 0
        assert "KeyboardInterrupt" in log.read_text()
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
