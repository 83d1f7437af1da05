"""The project as an installed wheel, in a folder that has nothing of it."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

FEW = {
    "phantom.internal.patients.manual.scanned_pre_and_post": 1,
    "phantom.internal.patients.unlabelled.scanned_pre_and_post": 1,
    "phantom.internal.patients.test.scanned_pre_and_post": 1,
    "phantom.external.patients.test.scanned_pre_and_post": 1,
    "phantom.external.patients.test.scanned_pre_only": 0,
}
NOT_NEEDED = {
    "torch",
    "nnunetv2",
    "sklearn",
    "pingouin",
    "scipy.stats",
    "dask",
    "coala_kedro.nnunet",
}


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""So that the wheel's code is found, whatever else this session finds."""


def call(*command, cwd):
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stderr


@pytest.fixture(scope="module")
def python(project_copy, tmp_path_factory):
    """Python of an environment with the wheel; it sees the packages of this one."""
    for name in ("README.md", "LICENSE"):
        (project_copy / name).write_text(name)
    # As `kedro package` does, but with the setuptools that is there.
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", "dist")
    call(sys.executable, *build, cwd=project_copy)
    call("tar", "-czf", "dist/conf-coala_kedro.tar.gz", "conf", cwd=project_copy)
    (wheel,) = project_copy.glob("dist/*.whl")
    place = tmp_path_factory.mktemp("wheel") / "venv"
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    install = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    call(sys.executable, *install, cwd=place)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_a_wheel_runs_from_any_folder(python, project_copy, tmp_path):
    parameters = ",".join(f"{name}={value}" for name, value in FEW.items())
    imported = call(
        *(python, "-X", "importtime", "-m", "coala_kedro", "--env", "demo"),
        *("--pipelines", "phantom,preprocessing", "--params", parameters),
        *("--conf-source", project_copy / "dist/conf-coala_kedro.tar.gz"),
        cwd=tmp_path,
    )
    accepted = pd.read_csv(tmp_path / "data/02_intermediate/internal/accepted_scans.csv")
    assert len(accepted) == 6
    assert len([*tmp_path.glob("data/03_primary/internal/label_maps/*.nii.gz")]) == 4
    assert (tmp_path / "data/08_reporting/internal_table_1.csv").is_file()
    assert (tmp_path / "mlflow.db").is_file()
    assert not {line.rpartition("|")[2].strip() for line in imported.splitlines()} & NOT_NEEDED


def test_a_wheel_has_what_the_report_is_made_of(python, tmp_path):
    place = "import coala_kedro; print(coala_kedro.__path__[0])"
    found = subprocess.run(
        [python, "-c", place],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    installed, here = Path(found.stdout.strip()), Path(__file__).parents[2] / "src/coala_kedro"
    assert "site-packages" in installed.parts
    files = {
        path.relative_to(here)
        for path in here.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert not [name for name in files if not (installed / name).is_file()]
