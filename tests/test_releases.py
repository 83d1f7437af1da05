"""What is said of versions is said alike everywhere."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import coala_kedro

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SUPPORTED = ["3.11", "3.12", "3.13"]


def _text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_packages_pythons():
    asked = SpecifierSet(tomllib.loads(_text("pyproject.toml"))["project"]["requires-python"])
    assert [python for python in PYTHONS if f"{python}.9" in asked] == SUPPORTED


def test_the_workflows_pythons():
    jobs = yaml.safe_load(_text(".github/workflows/test.yml"))["jobs"]
    for name in ("test", "newest"):
        assert jobs[name]["strategy"]["matrix"]["python"] == SUPPORTED


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_pages_pythons(page):
    assert "Python 3.11, 3.12 or 3.13" in _text(page)


@pytest.mark.parametrize("minor", [10, 14])
def test_make_refuses_another_python(minor, tmp_path):
    python = tmp_path / "python"
    code = f"import sys; sys.version_info = (3, {minor}); exec(sys.argv[1])"
    python.write_text(f"#!/bin/sh\nexec python3 -c '{code}' \"$2\"\n", encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "Makefile").write_text(_text("Makefile"), encoding="utf-8")
    command = ["make", f"PYTHON={python}", ".venv/bin/pip"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode
    assert "Python 3.11, 3.12 or 3.13 is needed" in made.stdout


def test_the_changelog_and_the_citation_know_the_version():
    version = coala_kedro.__version__
    cited = yaml.safe_load(_text("CITATION.cff"))
    released = re.search(rf"^## {re.escape(version)} - (\S+)$", _text("CHANGELOG.md"), re.MULTILINE)
    assert cited["version"] == version
    assert released
    assert released[1] == str(cited["date-released"])
    assert cited["references"][0]["doi"] == "10.1186/s13244-024-01820-7"


def test_hooks_before_a_commit_need_no_network():
    hooks = yaml.safe_load(_text(".pre-commit-config.yaml"))
    assert {repository["repo"] for repository in hooks["repos"]} == {"local"}
    assert {hook["language"] for r in hooks["repos"] for hook in r["hooks"]} == {"system"}
