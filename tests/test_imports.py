"""What a command imports: no more than it needs."""

import json
import subprocess
import sys
from typing import get_type_hints

import pytest
from kedro.framework.project import pipelines

SLOW = {
    "torch", "nnunetv2", "totalsegmentator", "sklearn", "matplotlib", "pingouin", "pandera",
    "scipy.stats", "scipy.special", "nibabel", "pydicom", "highdicom", "joblib", "dask",
    "kedro_datasets",
}  # fmt: skip


def imported(script):
    """Modules that a script imports, in a process of its own."""
    script = f"import json, sys\n{script}\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return {*json.loads(done.stdout.splitlines()[-1])}


@pytest.fixture(scope="module")
def of_all_pipelines():
    return imported(
        "import coala_kedro.settings, coala_kedro.cli\n"
        "from coala_kedro.pipeline_registry import register_pipelines\n"
        "assert all(each.nodes for each in dict(register_pipelines()).values())"
    )


def test_commands_that_list_pipelines_import_nothing_slow(of_all_pipelines):
    assert not SLOW & of_all_pipelines
    assert "coala_kedro.pipelines.evaluation.pipeline" in of_all_pipelines


def test_a_pipeline_is_imported_without_the_others():
    modules = imported(
        "import coala_kedro.settings\n"
        "from coala_kedro.pipeline_registry import register_pipelines\n"
        "assert register_pipelines()['preprocessing'].nodes"
    )
    rooms = {name.split(".")[2] for name in modules if name.startswith("coala_kedro.pipelines.")}
    assert rooms == {"preprocessing"}
    assert (
        not {"coala_kedro.nnunet", "coala_kedro.report", "coala_kedro.statistics.agreement"}
        & modules
    )


def test_kedro_knows_the_types_of_every_nodes_parameters(project):
    """It reads them from the annotations, whose names must therefore be there."""
    for name in pipelines:
        for node in pipelines[name].nodes:
            get_type_hints(node.func)
