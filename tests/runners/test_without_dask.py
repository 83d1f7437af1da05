"""The runner where the extra is not installed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("absent", ["dask", "distributed", "dask_jobqueue"])
def test_the_extra_that_is_missing_is_named(absent):
    code = (
        "import sys\n"
        f"sys.modules[{absent!r}] = None  # Python then says that there is no such module\n"
        "from kedro.utils import load_obj\n"
        "load_obj('coala_kedro.runners.DaskRunner', 'kedro.runner')\n"
    )
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    message = f"DaskRunner needs {absent}: pip install 'coala_kedro[cluster]'"
    assert message in told.stderr.splitlines()[-1]
