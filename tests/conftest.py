import subprocess
from pathlib import Path

import hypothesis
import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, settings

PROJECT = Path(__file__).parents[1]

# The same examples in every run, and no test that fails because a machine is slow.
hypothesis.settings.register_profile("seeded", derandomize=True, deadline=None)
hypothesis.settings.load_profile("seeded")


@pytest.fixture(scope="session")
def project():
    configure_project("coala_kedro")
    return PROJECT


@pytest.fixture(scope="session")
def conf(project):
    """Configuration of an environment, resolved as `kedro run --env <name>` does."""

    def load(env):
        arguments = settings.CONFIG_LOADER_ARGS | {"default_run_env": env}
        return OmegaConfigLoader(str(project / "conf"), env=env, **arguments)

    return load


@pytest.fixture
def disk_of(tmp_path):
    """Mounts a small disk, or gives the one that is mounted another size, in kB."""
    place = tmp_path / "disk"

    def mount(size_kb):
        change = "remount," if place.exists() else ""
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"{change}size={size_kb}k", "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here: it takes root")
        return place

    yield mount
    # Lazily: SimpleITK keeps a file open that it could not write.
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)
