"""The packages that pyproject.toml asks for are those that the code imports."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = ROOT / "constraints.txt"

NEEDED_UNIMPORTED = {
    "cryptography": "Dask's certificates",
    "kedro-mlflow": "a plugin of Kedro",
    "kedro-viz": "a plugin of Kedro",
    "nvidia-ml-py": "the use of GPUs, read by torch and MLflow",
    "xgboost": "xgboost-cpu, on macOS",
    "s3fs": "s3:// in fsspec",
    "idc-index": "a command",
}
"""What is asked for and nowhere imported, and what it is for."""
PRIVATE_PARTS = {
    "joblib": "joblib._dask",
    "kedro": "kedro.framework.hooks.manager._create_hook_manager",
    "nnunetv2": "methods of its trainer, planner and predictor",
    "numpy": "numpy._core",
    "totalsegmentator": "see coala_kedro.organs.adapters",
}
"""Packages of which private parts are used: a later release may not have them."""


def _requirements(*extras):
    texts = PROJECT["dependencies"] + [
        text for extra in extras for text in PROJECT["optional-dependencies"][extra]
    ]
    requirements = map(Requirement, texts)
    return {canonicalize_name(r.name): r for r in requirements if r.name != PROJECT["name"]}


@pytest.fixture(scope="module")
def imported():
    """Every module that src imports, without Python's own and this package."""
    modules = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.partition(".")[0])
    return modules - sys.stdlib_module_names - {PROJECT["name"]}


@pytest.fixture(scope="module")
def run_time():
    """What is asked for, and not for development alone."""
    extras = PROJECT["optional-dependencies"].keys() - {"dev", "docs"}
    return _requirements(*extras)


def test_what_is_imported_is_asked_for(imported, run_time):
    installed = packages_distributions()
    missing = {
        module: installed.get(module)
        for module in imported
        if not {canonicalize_name(name) for name in installed.get(module, ())} & run_time.keys()
    }
    assert not missing, "add these to pyproject.toml"


def test_what_is_asked_for_is_imported(imported, run_time):
    installed = packages_distributions()
    used = {canonicalize_name(name) for module in imported for name in installed.get(module, ())}
    assert run_time.keys() - used - NEEDED_UNIMPORTED.keys() == set(), "nothing imports these"
    assert not NEEDED_UNIMPORTED.keys() - run_time.keys(), "these are not asked for any more"


def test_packages_whose_private_parts_are_used_have_an_upper_bound(run_time):
    for name, part in PRIVATE_PARTS.items():
        operators = {specifier.operator for specifier in run_time[name].specifier}
        assert operators & {"<", "==", "~="}, f"{part} is private: give {name} an upper bound"


def test_the_constraints_satisfy_what_is_asked_for():
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    asked = _requirements("dev", "docs", "http", "phase", "s3")
    for pin in pins:
        (version,) = (specifier.version for specifier in pin.specifier)
        requirement = asked.pop(canonicalize_name(pin.name), None)
        assert requirement is None or requirement.specifier.contains(version), str(pin)
    assert asked.keys() == {"xgboost"}, "give these a pin"  # of macOS alone
