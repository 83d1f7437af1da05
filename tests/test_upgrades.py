"""What an upgrade of this project makes again, and what it does not: by editing its source."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

TOLD = """
import json
from pathlib import Path
import pandas as pd
from coala_kedro.datasets import LazyVolume, MadeFolder
from coala_kedro.fingerprint import fingerprint
from coala_kedro.former import former_fingerprint
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.nnunet.protocol import Protocol
from coala_kedro.pipelines.model_training.nodes import plan_and_preprocess, train_lowres
from coala_kedro.pipelines.preprocessing.intake import import_masks
from coala_kedro.pipelines.preprocessing.nodes import compose_label_maps
from coala_kedro.models.prediction import predict

class Known:
    fingerprint = former_fingerprint = "known"
    orientation = "LPS"
    file = local_nifti = resample = None

scans = pd.DataFrame({"scan_id": ["s1"], "role": ["test"]})
volumes = {"s1": Known()}
prepared, folds = MadeFolder(Path("/p"), "prepared"), [{"train": ["s1"], "validation": ["s2"]}]
protocol, compute = Protocol(seed=3), Compute()
recipes = {
    "reader_masks": import_masks(scans, volumes, {"reader_1/s1": Known()})["s1"],
    "label_map": compose_label_maps(scans, volumes, volumes)["s1"],
    "preprocessed": plan_and_preprocess({"cases": {}}, protocol, compute),
    "training": train_lowres(prepared, folds, 0, "teacher", protocol, compute),
    "prediction": predict(scans, volumes, Known(), Inference(), compute, role="test")["s1"],
}
print(json.dumps({n: [fingerprint(r), former_fingerprint(r)] for n, r in recipes.items()}))
"""
STRUCTURE = '    Structure(14, "aorta", 52, "#cc0000", "15825003"),\n'


def told(source):
    run = subprocess.run(
        [sys.executable, "-c", TOLD],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def edit(source, file, old, new):
    path = source / "coala_kedro" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def move(source):
    """The module that preprocesses gets another name."""
    room = source / "coala_kedro" / "nnunet"
    (room / "planning.py").rename(room / "preparation.py")
    for path in {*source.rglob("*.py")} - {source / "coala_kedro" / "former.py"}:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("nnunet.planning", "nnunet.preparation"), encoding="utf-8")


SEED = "    seed: int = Field(0, ge=0)\n"
CRLM = '    Structure(13, "crlm", None, "#e53935", "94381002"),\n'
UPGRADES = {
    "an option with a default": (
        lambda at: edit(
            at, "nnunet/protocol.py", SEED, f"{SEED}    deep_supervision: bool = True\n"
        ),
        set(),
    ),
    "a function that moved": (move, set()),
    "a colour": (lambda at: edit(at, "anatomy.py", "#e53935", "#e53936"), set()),
    "a new version": (
        lambda at: edit(at, "nnunet/training.py", '@recipe("training")', '@recipe("training", 2)'),
        {"training"},
    ),
    "a fourteenth structure": (
        lambda at: edit(at, "anatomy.py", CRLM, CRLM + STRUCTURE),
        {"label_map", "preprocessed", "prediction"},
    ),
    "another share of a fractional segment": (
        lambda at: edit(
            at, "imaging/lesion_labels.py", "SEGMENT_THRESHOLD = 0.5", "SEGMENT_THRESHOLD = 0.6"
        ),
        {"reader_masks"},
    ),
    "another tolerance": (
        lambda at: edit(at, "imaging/geometry.py", "GRID_TOLERANCE = 1e-3", "GRID_TOLERANCE = 1"),
        {"reader_masks"},
    ),
    "another orientation": (
        lambda at: edit(at, "imaging/geometry.py", 'CANONICAL = "LPS"', 'CANONICAL = "RAS"'),
        {"preprocessed"},
    ),
    "another class of TotalSegmentator": (
        lambda at: edit(at, "anatomy.py", '"liver", 5,', '"liver", 6,'),
        {"label_map", "preprocessed", "prediction"},
    ),
}


@pytest.fixture(scope="module")
def before():
    return told(PROJECT / "src")


@pytest.mark.slow
@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgrade_makes_again_what_it_changes_and_nothing_else(tmp_path, before, name):
    source = shutil.copytree(PROJECT / "src", tmp_path / "src")
    change, made_again = UPGRADES[name]
    change(source)
    now = told(source)
    assert {n for n in before if now[n][0] != before[n][0]} == made_again
    assert {n for n in before if now[n][1] != before[n][1]} == made_again
    assert all(now[name][1] is None for name in made_again)
