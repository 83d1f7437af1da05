"""A miniature of the whole study, run once with real nnU-Net in the way a user runs it."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from listeners import nobody_listens
from omegaconf import OmegaConf

from coala_kedro.datasets import MadeFolderDataset
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.nnunet.protocol import Protocol
from coala_kedro.nnunet.training import train_fold
from coala_kedro.nnunet.training_set import Fold
from coala_kedro.nnunet.workspace import DATASET_NAME, model_folder_name

ROOT = Path(__file__).parents[2]
LIMIT_S = 600

IN_THREADS = ("--runner", "ThreadRunner", "--runner-params", "max_workers=2")

MINIATURE = {
    "phantom.internal.patients.manual.scanned_pre_and_post": 1,
    "phantom.internal.patients.manual.scanned_pre_only": 4,
    "phantom.internal.patients.unlabelled.scanned_pre_and_post": 1,
    "phantom.internal.patients.test.scanned_pre_and_post": 1,
    "phantom.external.patients.test.scanned_pre_and_post": 1,
    "phantom.external.patients.test.scanned_pre_only": 1,
    "protocol.planning.gpu_memory_target_gb": 0.004,
    "protocol.planning.base_features": 4,
    "protocol.planning.max_features": 16,
    "protocol.epochs": 3,
    "protocol.iterations_per_epoch": 8,
    "protocol.validation_iterations_per_epoch": 1,
    "protocol.checkpoint_every_epochs": 1,
    "statistics.n_resamples": 100,
}


@dataclasses.dataclass(frozen=True)
class Study:
    """A copy of the project (nothing a run leaves lands in the checkout) and its data."""

    project: Path
    data: Path
    settings: dict
    env: str = "demo"
    changed: dict = dataclasses.field(default_factory=dict)

    @property
    def tracking(self):
        return f"sqlite:///{self.project / 'mlflow.db'}"

    @property
    def parameters(self):
        """What makes the study a miniature, as `--params` takes it."""
        parameters = MINIATURE | {"data": self.data, "raw": self.data / "01_raw"} | self.changed
        return ",".join(f"{name}={value}" for name, value in parameters.items())

    @property
    def environment(self):
        return os.environ | {
            "MLFLOW_TRACKING_URI": self.tracking,
            "KEDRO_DISABLE_TELEMETRY": "true",
        }

    def start(self, *arguments, log, runner=IN_THREADS):
        """`kedro run` with the miniature's parameters, in a process of its own."""
        command = [sys.executable, "-m", "kedro", "run", "--env", self.env, *runner, *arguments]
        with log.open("w") as file:
            return subprocess.Popen(
                [*command, "--params", self.parameters],
                cwd=self.project,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments, log, runner=IN_THREADS):
        """`kedro run` to its end; what it printed."""
        status = self.start(*arguments, log=log, runner=runner).wait(LIMIT_S)
        assert status == 0, log.read_text()[-4000:]
        return log.read_text()

    def copy(self, data, *parts):
        """The same study elsewhere, with some of its data."""
        for part in parts:
            shutil.copytree(self.data / part, data / part)
        return dataclasses.replace(self, data=data)

    def with_entries(self, env, catalog, credentials=""):
        """The same study with other catalog entries, in an environment of their own."""
        folder = self.project / "conf" / env
        shutil.copytree(self.project / "conf" / "demo", folder)
        (folder / "catalog_hospital.yml").write_text(catalog)
        (folder / "credentials.yml").write_text(credentials)
        return self.in_environment(env)

    def in_environment(self, env):
        return dataclasses.replace(self, env=env)

    def fold_folder(self, model, stage, fold):
        folder = self.data / "06_models" / model / DATASET_NAME / model_folder_name(stage)
        return folder / f"fold_{fold}"

    def folds(self, model):
        listed = json.loads((self.data / "05_model_input" / model / "folds.json").read_text())
        return [Fold(**fold) for fold in listed]

    def train(self, folder, stage="lowres", monitor=nobody_listens, **changed):
        """Train the teacher's first fold in a folder, in nnU-Net's own process."""
        lowres = (self.fold_folder("teacher", "lowres", k) for k in range(5))
        train_fold(
            folder,
            prepared=self.preprocessed("teacher"),
            split=self.folds("teacher")[0],
            fold=0,
            stage=stage,
            earlier=[MadeFolderDataset(path=str(path)).load() for path in lowres],
            monitor=monitor,
            **{"protocol": self.protocol, "compute": self.compute} | changed,
        )

    def preprocessed(self, model):
        path = self.data / "05_model_input" / model / "nnunet"
        return MadeFolderDataset(path=str(path)).load()

    @property
    def protocol(self):
        return Protocol(**self.settings["protocol"])

    @property
    def compute(self):
        return Compute(**self.settings["compute"])

    @property
    def inference(self):
        return Inference(**self.settings["inference"])


@pytest.fixture(scope="session")
def checkpoint():
    """Reads a checkpoint of a fold."""
    return lambda folder: torch.load(
        folder / "checkpoint_final.pth", map_location="cpu", weights_only=False
    )


@pytest.fixture(scope="session")
def same_weights(checkpoint):
    """Whether two folds ended with the same weights, bit by bit."""

    def compare(one, other):
        one, other = (checkpoint(folder)["network_weights"] for folder in (one, other))
        assert one.keys() == other.keys()
        assert len(one) > 10
        return all(torch.equal(one[name], other[name]) for name in one)

    return compare


@pytest.fixture
def fold_folder_of(tmp_path, miniature):
    """An untrained fold's folder by stage; what a cascade reads from the first stage is there."""
    read_by_cascade = miniature.fold_folder("teacher", "lowres", 0).parent / "predicted_next_stage"
    place = tmp_path / "teacher" / Path(*read_by_cascade.parts[-3:])
    shutil.copytree(read_by_cascade, place)
    return lambda stage: tmp_path.joinpath(
        "teacher", *miniature.fold_folder("teacher", stage, 0).parts[-3:]
    )


@pytest.fixture(scope="session")
def epochs_begun():
    """The epochs of a fold as nnU-Net logged their beginnings, over all attempts."""

    def read(folder):
        logs = sorted(folder.glob("training_log_*.txt"), key=lambda path: path.stat().st_mtime)
        texts = [log.read_text() for log in logs]
        return [int(n) for text in texts for n in re.findall(r": Epoch (\d+)\s*$", text, re.M)]

    return read


def copy_project(project):
    """The project without its data: nothing a run leaves lands in the checkout."""
    for part in ("conf", "src/coala_kedro"):
        unwanted = shutil.ignore_patterns("__pycache__", "local")
        shutil.copytree(ROOT / part, project / part, ignore=unwanted)
    for part in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / part, project)
    return project


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def empty_study(tmp_path_factory, conf):
    """Makes a copy of the project that has run nothing yet."""
    changes = OmegaConf.from_dotlist([f"{name}={value}" for name, value in MINIATURE.items()])
    settings = OmegaConf.to_container(OmegaConf.merge(conf("demo")["parameters"], changes))

    def make(name):
        project = tmp_path_factory.mktemp(name)
        return Study(copy_project(project), project / "data", settings)

    return make


@pytest.fixture(scope="session")
def miniature(tmp_path_factory, worker_id, empty_study):
    """Five folds of both stages of teacher and student, predictions, summary and figures.

    It is made once: another process that runs tests copies it.
    """
    study = empty_study("miniature")
    project = study.project
    base = tmp_path_factory.getbasetemp()
    first = (base if worker_id == "master" else base.parent) / "first_miniature"
    with FileLock(f"{first}.lock"):
        if first.exists():
            shutil.copytree(first, project, dirs_exist_ok=True)
        else:
            study.run("--pipelines", "demo", log=project / "first.log")
            shutil.copytree(project, first.with_suffix(".partial"))
            first.with_suffix(".partial").rename(first)
    return study
