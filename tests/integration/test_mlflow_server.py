"""MLflow's server for many machines, as the documentation starts it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from slurm_site import free_port

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "docs" / "gpu_servers" / "mlflow_server.sh"


def listening(pid):
    """Addresses at which the server's processes can be reached."""
    server = psutil.Process(pid)
    found = set()
    for process in (server, *server.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it starts some that soon end
            connections = process.net_connections()
            found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.parametrize(("host", "address"), [([], "127.0.0.1"), (["0.0.0.0"], "0.0.0.0")])
def test_only_its_own_machine_reaches_it_unless_told_otherwise(tmp_path, host, address):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = tmp_path / "log.txt"
    with log.open("w") as told:
        server = subprocess.Popen(
            [SCRIPT, tmp_path / "mlflow", str(free_port()), *host],
            env=os.environ | {"PATH": path},
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while "startup complete" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        assert listening(server.pid) == {address}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
