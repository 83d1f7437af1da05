"""A hospital of unlabelled scans alone: proposed, filled in as its words say, preprocessed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hospital import Hospital

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """A project, and what its two commands said."""
    folder = tmp_path_factory.mktemp("unlabelled")
    project, hospital = folder / "project", Hospital(folder / "hospital").build().root
    shutil.rmtree(hospital / "readers")
    shutil.copytree(ROOT / "conf", project / "conf")
    shutil.copytree(ROOT / "src", project / "src")
    shutil.copy(ROOT / "pyproject.toml", project)
    words = [_kedro(project, "hospital", "new", "oslo", hospital, "--role", "unlabelled")]
    table = project / "data" / "01_raw" / "oslo" / "internal" / "scans.csv"
    scans = pd.read_csv(table).assign(timepoint="pre", acquired_on=["2020-01-01", "", "2020-01-03"])
    # As a hospital fills it in: in Excel, of a country that writes dates its own way.
    scans.loc[1, "acquired_on"] = "13.2.2020"
    scans.to_csv(table, sep=";", index=False, encoding="utf-16")
    where = ("--pipelines", "preprocessing", "--namespaces", "internal")
    words.append(_kedro(project, "run", "--env", "oslo", *where))
    return project / "data", *words


def _kedro(project, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "kedro", *map(str, arguments)],
        cwd=project,
        env=os.environ
        | {
            "PYTHONPATH": str(project / "src"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}",
            "KEDRO_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_every_scan_is_accepted_and_has_organs(brought):
    data, told, log = brought
    assert "does not load" not in told
    assert "internal: 3 of 3 scans accepted" in log.replace("\n", " ")
    organs = data / "03_primary" / "internal" / "organ_masks"
    assert len([*organs.glob("*.nii.gz")]) == 3
    accepted = pd.read_csv(data / "02_intermediate" / "internal" / "accepted_scans.csv")
    assert sorted(accepted["acquired_on"]) == ["2020-01-01", "2020-01-03", "2020-02-13"]


def test_what_needs_readers_is_empty_and_not_in_the_way(brought):
    data, *_ = brought
    for folder in ("consensus_masks", "label_maps"):
        assert not [*(data / "03_primary" / "internal" / folder).glob("*.nii.gz")]
    assert pd.read_csv(data / "08_reporting" / "internal_reader_agreement.csv").empty
