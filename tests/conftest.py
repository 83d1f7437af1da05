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
