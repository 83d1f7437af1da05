"""What version 0.1.0 (commit c31d49c) made keeps standing.

The fingerprints are those that `make demo` of that version left beside its scan INT001_pre and its
trainings.
"""

import dataclasses
import json
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from coala_kedro import former
from coala_kedro.datasets import MadeFolder, MadeFolderDataset
from coala_kedro.former import former_changes, former_fingerprint, is_former_description
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import predictions
from coala_kedro.nnunet.model import TrainedModel
from coala_kedro.nnunet.protocol import Protocol
from coala_kedro.nnunet.training_set import Case, Fold, TrainingSet
from coala_kedro.pipelines.model_training.nodes import (
    assemble_training_set,
    plan_and_preprocess,
    train_cascade,
    train_lowres,
)
from coala_kedro.pipelines.phantom.nodes import Hospital, scan_patients
from coala_kedro.pipelines.preprocessing.nodes import compose_label_maps
from coala_kedro.pipelines.preprocessing.reader_consensus import ConsensusMethod, merge_readers

CONTENTS = {
    "INT001_post": ("945efda960a10200", "c775212f60510100"),
    "INT001_pre": ("7642fb2a60a10200", "f288892160510100"),
    "INT002_post": ("89bddf5060a10200", "c12fdade60510100"),
    "INT002_pre": ("726fa3fb60a10200", "065c80dd60510100"),
    "INT003_post": ("ae85221e60a10200", "b2842f3560510100"),
    "INT003_pre": ("6385aeba60a10200", "fb64877560510100"),
    "INT004_post": ("b9f0542a60a10200", "c3e5a9f960510100"),
    "INT004_pre": ("4e15d67360a10200", "00c4e02460510100"),
    "INT005_post": ("7dd9903460a10200", "f472410760510100"),
    "INT005_pre": ("7b0a5ee060a10200", "8b984c6d60510100"),
}
"""Of the teacher's scans and label maps."""

PREPARED = MadeFolder(Path("/preprocessed"), "7a9c05583836d4cd")
LOWRES = ("d961592d88bce541", "9db6f2a26e8f9135", "f936548b1127164e", "ef7eaaea9b65968c",
          "b18e3984aca2a43b")  # fmt: skip
CASCADE_0 = "ed688ae78f2d404c"
SCANS = pd.DataFrame({"scan_id": ["INT001_pre"], "role": ["manual"]})


class Known:
    """A volume, or what else version 0.1.0 knew by these words."""

    path = "/file"

    def __init__(self, known, orientation="LPS"):
        self.known, self.orientation = known, orientation

    @property
    def fingerprint(self):
        return "of today"

    @property
    def former_fingerprint(self):
        return self.known

    file = resample = None


def training_set(**changed):
    return TrainingSet(
        cases={
            scan_id: Case(
                patient_id=scan_id[:6],
                source="manual",
                scan=Path("/scan"),
                label_map=Path("/label_map"),
                content=("of", "today"),
                former_content=changed.get(scan_id, content),
            )
            for scan_id, content in CONTENTS.items()
        }
    ).model_dump(mode="json")


@pytest.fixture(scope="module")
def parameters(project):
    from kedro.config import OmegaConfigLoader
    from kedro.framework.project import settings

    arguments = settings.CONFIG_LOADER_ARGS | {"default_run_env": "demo"}
    return OmegaConfigLoader(str(project / "conf"), env="demo", **arguments)["parameters"]


@pytest.fixture
def protocol(parameters):
    return Protocol(**parameters["protocol"])


@pytest.fixture
def folds():
    validated = [["INT003_post", "INT003_pre"], ["INT002_post", "INT002_pre"]]
    return [
        Fold(train=[s for s in CONTENTS if s not in v], validation=v).model_dump()
        for v in validated
    ]


def volumes(trailer):
    return {"INT001_pre": Known(trailer)}


def readers():
    trailers = ("1ff263d060510100", "a9af3f0160510100", "626c818060510100")
    return {f"reader_{n}/INT001_pre": Known(t) for n, t in enumerate(trailers, start=1)}


SCAN = volumes("7642fb2a60a10200")


def test_a_consensus(parameters):
    method = ConsensusMethod(**parameters["consensus"])
    recipe = merge_readers(SCANS, readers(), {"INT001_pre": {}}, method)["INT001_pre"]
    assert former_fingerprint(recipe) == "c00a85cbc49a3ab9"


def test_a_label_map():
    organs, consensus = volumes("12d9d82160510100"), volumes("0d8a93d760510100")
    recipe = compose_label_maps(SCANS, consensus, organs)["INT001_pre"]
    assert former_fingerprint(recipe) == "e9b5158ca7a1a110"


def test_phantoms(parameters):
    hospital = Hospital(**parameters["phantom"]["internal"])
    scans, organs, masks = scan_patients(SCANS, hospital)
    made = [former_fingerprint(recipes["INT001_pre"]) for recipes in (scans, organs, masks)]
    assert made == ["573767435b65e0c7", "c074c6872aefe45e", "ef0999e026d61fa0"]


def test_planning_and_preprocessing(protocol):
    recipe = plan_and_preprocess(training_set(), protocol, Compute())
    assert former_fingerprint(recipe) == PREPARED.fingerprint


def test_trainings(protocol, folds):
    lowres = [train_lowres(PREPARED, folds, k, "teacher", protocol, Compute()) for k in range(2)]
    assert tuple(map(former_fingerprint, lowres)) == LOWRES[:2]
    earlier = {f"fold_{k}": MadeFolder(Path(f"/{k}"), made) for k, made in enumerate(LOWRES)}
    cascade = train_cascade(PREPARED, folds, 0, "teacher", protocol, Compute(), **earlier)
    assert former_fingerprint(cascade) == CASCADE_0


@pytest.fixture
def folder_of_0_1_0(tmp_path, protocol, folds):
    """A lowres fold as version 0.1.0 has finished it."""
    folder = tmp_path / "fold_0"
    folder.mkdir()
    recipe = [
        ["coala_kedro.nnunet.training.train_fold", [], [[], {}]],
        [],
        {
            "compute": "", "earlier": [], "fold": 0, "monitor": "", "stage": "lowres",
            "prepared": PREPARED.fingerprint,
            "split": ["Fold", folds[0]],
            "protocol": ["Protocol", protocol.model_dump(mode="json")],
        },
    ]  # fmt: skip
    for mark in (".begun.json", ".complete.json"):
        told = {"fingerprint": LOWRES[0], "recipe": recipe, "seconds": 1}
        (folder / mark).write_text(json.dumps(told))
    return MadeFolderDataset(path=str(folder))


def test_a_finished_training_stands_and_keeps_its_fingerprint(folder_of_0_1_0, protocol, folds):
    for changed in ({}, {"checkpoint_every_epochs": 1}):
        recipe = train_lowres(
            PREPARED, folds, 0, "teacher", protocol.model_copy(update=changed), Compute()
        )
        made, why = folder_of_0_1_0.foresee(recipe)
        assert why is None
        assert made.fingerprint == LOWRES[0]
    assert folder_of_0_1_0.load().fingerprint == LOWRES[0]


def test_what_has_changed_since_is_named(folder_of_0_1_0, protocol, folds):
    longer = protocol.model_copy(update={"epochs": 11})
    recipe = train_lowres(PREPARED, folds, 0, "teacher", longer, Compute())
    assert folder_of_0_1_0.foresee(recipe)[1] == ["protocol.epochs"]


def test_another_label_map_makes_another_training_set(protocol):
    changed = training_set(INT001_pre=("7642fb2a60a10200", "0000000000510100"))
    recipe = plan_and_preprocess(changed, protocol, Compute())
    assert former_fingerprint(recipe) not in (None, PREPARED.fingerprint)


@pytest.mark.parametrize(
    ("lay", "stands"),
    [(("LPS", "LPS"), True), (("LAS", "LAS"), True), (("LPS", "LAS"), False)],
)
def test_scans_that_lay_alike_were_trained_on_in_their_orientation(protocol, lay, stands):
    table = pd.DataFrame({"scan_id": ["a", "b"], "patient_id": ["A", "B"], "role": "manual"})
    scans = {s: Known(f"scan of {s}", o) for s, o in zip("ab", lay, strict=True)}
    maps = {scan_id: Known(f"label map of {scan_id}") for scan_id in scans}
    recipe = plan_and_preprocess(assemble_training_set(table, scans, maps), protocol, Compute())
    assert (former_fingerprint(recipe) is not None) == stands


@pytest.mark.parametrize(("lies", "stands"), [("LPS", True), ("LAS", False)])
def test_a_scan_that_lay_otherwise_than_those_trained_on_was_predicted_otherwise(lies, stands):
    model = TrainedModel(Path("/model"), (0,), "64933896c6850f10", orientation="LPS")
    recipe = predictions(model, {"a": Known("scan", lies)}, Inference(), Compute())["a"]
    assert (former_fingerprint(recipe) is not None) == stands


@pytest.mark.parametrize("lies", ["LPS", "LAS"])
def test_what_a_model_has_predicted_stands_in_the_orientation_it_was_trained_in(lies):
    known = TrainedModel(Path("/model"), (0,), "mark")
    now = (
        known
        if lies == "LPS"
        else dataclasses.replace(
            known, fingerprint="mark and LAS", orientation="LAS", formerly="mark"
        )
    )
    told = [
        former_fingerprint(predictions(m, {"a": Known("scan", o)}, Inference(), Compute())["a"])
        for m, o in ((known, "LPS"), (now, lies))
    ]
    assert told[0] == told[1] is not None


def test_an_option_that_came_later_counts_only_where_it_is_used(folds, protocol):
    class Later(Protocol):
        later: bool = False

    Later.__name__ = "Protocol"
    given = protocol.model_dump()
    unused, used = Later(**given), Later(**given, later=True)
    told = [
        former_fingerprint(train_lowres(PREPARED, folds, 0, "teacher", p, Compute()))
        for p in (unused, used)
    ]
    assert told == [LOWRES[0], None]


@pytest.mark.parametrize("changed", [{"version": 2}, {"constants": {"structures": []}}])
def test_a_new_version_or_another_constant_makes_something_else(changed, monkeypatch, protocol):
    recipe = plan_and_preprocess(training_set(), protocol, Compute())
    named = former.recipe_name(recipe.func)
    monkeypatch.setattr(former, "recipe_name", lambda _: dataclasses.replace(named, **changed))
    assert former_fingerprint(recipe) is None


def test_only_what_0_1_0_described_is_taken_for_such():
    assert not is_former_description(None)
    assert not is_former_description({"recipe": "training", "version": 1})
    assert not is_former_description([["another.function", [], [[], {}]], [], {}])
    assert former_changes([["?"]], partial(print)) != []


def test_a_changed_default_needs_a_new_version():
    """What is left at its default is in no fingerprint: it must stay what it was.

    Whoever changes one raises the version of the recipes that take it, and this table.
    """
    defaults = {
        "planning": {
            "gpu_memory_target_gb": 8.0, "base_features": 32, "max_features": 320,
            "convolutions_per_stage": 2, "intensity_samples": 100_000_000,
        },
        "optimiser": {
            "name": "sgd", "initial_learning_rate": 0.01, "momentum": 0.99, "weight_decay": 3e-5,
        },
        "epochs": 1000, "iterations_per_epoch": 250, "validation_iterations_per_epoch": 50,
        "foreground_oversampling": 0.33, "mirroring": True, "seed": 0,
    }  # fmt: skip
    assert Protocol().model_dump(exclude={"checkpoint_every_epochs"}) == defaults
    assert Inference().model_dump() == {"tile_step_size": 0.5, "mirroring": True}
