"""The rules of the house that no linter knows."""

import ast
import re
import subprocess
from collections import Counter
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


SOURCE = PROJECT / "src" / "coala_kedro"
OF_KEDRO = {"__init__", "pipeline", "nodes"}
DOCUMENTED_ELSEWHERE = {"property", "field_validator", "model_validator", "hook_impl", "command"}
"""Decorators of functions whose arguments a library gives and explains."""


def test_no_two_modules_or_classes_share_a_name(trees):
    """Whoever reads a name knows which one is meant."""
    sources = [path for path in trees if path.is_relative_to(SOURCE)]
    names = Counter(path.stem for path in sources if path.stem not in OF_KEDRO)
    names += Counter(
        node.name
        for path in sources
        for node in ast.walk(trees[path])
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, n in names.items() if n > 1] == []


def _public_functions(tree):
    """Public functions and methods of a module, with the names of their arguments."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for owner in (tree, *(node for node in classes if not node.name.startswith("_"))):
        for function in owner.body:
            if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
                continue
            decorators = {
                node.attr if isinstance(node, ast.Attribute) else node.id
                for decorator in function.decorator_list
                for node in ast.walk(decorator)
                if isinstance(node, ast.Attribute | ast.Name)
            }
            of_a_dataset = owner is not tree and function.name in ("load", "save")
            if of_a_dataset or decorators & DOCUMENTED_ELSEWHERE:
                continue
            given = function.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            arguments += filter(None, (given.vararg, given.kwarg))
            names = [argument.arg for argument in arguments]
            bound = owner is not tree and "staticmethod" not in decorators
            yield function, names[bound:]


def test_every_public_function_documents_its_arguments(trees):
    wrong = []
    for path in (path for path in trees if path.is_relative_to(SOURCE)):
        for function, names in _public_functions(trees[path]):
            text = ast.get_docstring(function) or ""
            section = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.MULTILINE)
            found = re.findall(
                r"^ {4}([\w*][\w*, ]*):", section[1] if section else "", re.MULTILINE
            )
            documented = {name.strip("* ") for line in found for name in line.split(",")}
            if documented != {*names}:
                differing = ", ".join(sorted(documented ^ {*names}))
                wrong.append(f"{path.name}: {function.name}: {differing}")
    assert not wrong, "list each argument under `Args:`"


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
