import gc
import re
import subprocess
from pathlib import Path

import hypothesis
import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, settings

PROJECT = Path(__file__).parents[1]

# The same examples in every run, few enough for all fast tests to take less than a minute, and
# no test that fails because a machine is slow.
hypothesis.settings.register_profile("seeded", derandomize=True, deadline=None, max_examples=40)
hypothesis.settings.load_profile("seeded")

gc.disable()  # until all is imported, of which nothing is garbage


def pytest_collection_finish():
    """Collect garbage from now on, and look for none in what is imported."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config, items):
    """Keep the fast tests of a file in one process: its fixtures are made once."""
    for item in items if config.option.markexpr == "not slow" else ():
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


SLOW_AS_A_WHOLE = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path, config):
    """Leave modules and folders whose every test is slow unimported when only fast tests run."""
    if config.option.markexpr != "not slow":
        return None
    modules = [collection_path, *collection_path.rglob("test_*.py")]
    modules = [module for module in modules if module.match("test_*.py")]
    slow = modules and all(SLOW_AS_A_WHOLE.search(module.read_text()) for module in modules)
    return True if slow else None


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


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory):
    """The database of MLflow before its first run, to be copied: it takes seconds to make."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty_mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


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
