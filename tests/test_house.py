"""The rules of the house that no linter knows."""

import ast
import subprocess
from pathlib import Path

import pytest

from coala_kedro.anatomy import CRLM, LABELS, STRUCTURES

pytestmark = pytest.mark.xdist_group("house")

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trees():
    """Every Python file of the project as a syntax tree."""
    folders = [PROJECT / name for name in ("src", "tests", "benchmarks")]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return {path: ast.parse(path.read_text(encoding="utf-8"), path) for path in files}


def test_files_and_functions_are_short(trees):
    for path, tree in trees.items():
        assert path.read_text(encoding="utf-8").count("\n") <= 300, f"split the file {path}"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                assert lines <= 60, f"{path}: split the function {node.name}: {lines} lines"


def _in_text_mode(call):
    """Whether a call opens a text file or pipe: in the locale's encoding unless it says another."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    module = getattr(getattr(call.func, "value", None), "id", "")
    if "encoding" in keywords or (module, name) in {("os", "open"), ("gzip", "open")}:
        return False
    if name in ("read_text", "write_text"):
        return True
    if name in ("Popen", "run", "check_output"):
        return bool({"text", "universal_newlines"} & keywords.keys())
    if name not in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile"):
        return False
    given = [*call.args, *keywords.values()]
    values = [value.value for value in given if isinstance(value, ast.Constant)]
    modes = [value for value in values if isinstance(value, str) and set(value) <= set("rwaxbt+")]
    return not any("b" in mode for mode in modes)


def test_text_files_have_an_encoding(trees):
    """Where the locale is Latin-1, Python would write and read that."""
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in trees.items()
        if "tests" not in path.parts
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _in_text_mode(node)
    ]
    assert not wrong, "say encoding=..."


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
