"""What people type, in a copy of the project."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]


@pytest.fixture
def kedro(project_copy):
    def run(*arguments):
        environment = os.environ | {
            "PYTHONPATH": str(project_copy / "src"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{project_copy}/cli.db",
            "KEDRO_ENV": "demo",
        }
        return subprocess.run(
            [sys.executable, "-m", "kedro", *arguments],
            check=False,
            cwd=project_copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
        )

    return run


def test_pipelines_are_listed(kedro):
    listed = kedro("registry", "list")
    assert listed.returncode == 0, listed.stderr
    for name in ("preprocessing", "teacher", "pseudolabel", "student", "evaluation", "phantom"):
        assert f"- {name}\n" in listed.stdout


def test_catalog_patterns_are_listed(kedro):
    listed = kedro("catalog", "list-patterns")
    assert listed.returncode == 0, listed.stderr
    assert "{model}.{fold}.cascade" in listed.stdout
    assert "{cohort}.label_maps" in listed.stdout


def test_graph_is_built(kedro, project_copy):
    built = kedro("viz", "build", "--include-hooks", "--include-previews")
    assert built.returncode == 0, built.stderr
    graph = (project_copy / "build" / "api" / "main").read_text()
    for name in ("teacher.model", "student.model", "pseudo_label_maps", "summary"):
        assert name in graph


def test_a_wrong_parameter_is_refused_before_the_first_node(kedro):
    refused = kedro("run", "--pipelines", "teacher", "--params", "protocol.epochs=-1")
    assert refused.returncode != 0
    assert "epochs" in refused.stderr
    assert "Running node" not in refused.stdout + refused.stderr


def test_a_missing_scan_table_is_named(kedro, tmp_path):
    refused = kedro("run", "--pipelines", "preprocessing", "--params", f"raw={tmp_path}")
    assert refused.returncode != 0
    assert f"There is no scan table {tmp_path}" in refused.stderr
