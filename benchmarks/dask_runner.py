"""The demo study, node by node and on Dask workers: seconds, and whether the figures are the same.

Run `python benchmarks/dask_runner.py` from the project's folder, on a machine with nothing else to
do; on two cores it takes about twelve minutes, with `--epochs 5` eight.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ON_DASK = ("--runner", "coala_kedro.runners.DaskRunner", "--runner-params")


def run(data: Path, epochs: int, *runner: str) -> float:
    """Run the demo with its data in a folder of its own; seconds it took."""
    parameters = f"data={data},raw={data / '01_raw'},protocol.epochs={epochs}"
    command = [sys.executable, "-m", "kedro", "run", "--env", "demo", "--pipelines", "demo"]
    data.mkdir()
    started = time.monotonic()
    with (data / "log.txt").open("w", encoding="utf-8") as log:
        subprocess.run(
            [*command, *runner, "--params", parameters],
            check=True,
            env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{data / 'mlflow.db'}"},
            stdout=log,
            stderr=log,
        )
    return time.monotonic() - started


def main() -> None:
    """Print seconds and ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10, help="of each training")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder, "sequential"), Path(folder, "dask")
        sequential = run(one, arguments.epochs)
        print(f"node by node {sequential:6.0f} s   load {os.getloadavg()[1]:.1f}", flush=True)
        dask = run(many, arguments.epochs, *ON_DASK, f"workers={arguments.workers}")
        print(f"{arguments.workers} workers    {dask:6.0f} s   load {os.getloadavg()[1]:.1f}")
        print(f"ratio        {dask / sequential:6.2f}")
        summaries = [(data / "08_reporting" / "summary.csv").read_bytes() for data in (one, many)]
        print("the same summary" if summaries[0] == summaries[1] else "ANOTHER summary")


if __name__ == "__main__":
    main()
