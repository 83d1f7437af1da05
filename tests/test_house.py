"""The rules of the house that no linter knows."""

import ast
import subprocess
from pathlib import Path

import pytest

from coala_kedro.anatomy import CRLM, LABELS, STRUCTURES

PROJECT = Path(__file__).parents[1]
FILES = sorted(
    path for folder in ("src", "tests", "benchmarks") for path in (PROJECT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 300, "split the file"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 60, f"split the function {node.name}: {lines} lines"


def test_the_label_map_is_the_papers():
    assert [structure.id for structure in STRUCTURES] == list(range(1, 14))
    assert CRLM == LABELS["crlm"] == 13
    assert len({s.totalsegmentator_id for s in STRUCTURES}) == 13


def test_usage_statistics_stay_off_in_a_clone():
    tracked = subprocess.run(
        ["git", "ls-files", ".telemetry"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert tracked.stdout.strip() == ".telemetry"
    assert "consent: false" in (PROJECT / ".telemetry").read_text()


def test_kedros_statistics_find_no_consent(monkeypatch):
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.delenv("KEDRO_DISABLE_TELEMETRY", raising=False)
    from kedro_telemetry.plugin import _check_for_telemetry_consent

    assert _check_for_telemetry_consent(PROJECT) is False


def test_mlflows_statistics_are_off_once_the_project_is_loaded(project):
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()
