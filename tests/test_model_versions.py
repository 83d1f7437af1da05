"""A trained model in MLflow's registry, and what it was trained on, from a small run."""

import getpass
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset

from coala_kedro.datasets import TrainedModelDataset
from coala_kedro.datasets.text import TextDataset
from coala_kedro.nnunet.workspace import model_folder_name
from coala_kedro.provenance import write_provenance
from coala_kedro.tracking import TrackingHooks

pytestmark = [
    pytest.mark.xdist_group("tracking"),
    pytest.mark.filterwarnings("ignore:One or more dataset names contain"),
]

CARD = "# Model card: student\n\nNo medical device."
PLACE = "06_models/student/Dataset001_CRLM"
TABLES = (
    *("datasets", "input_tags", "logged_models", "logged_model_tags", "logged_model_params"),
    *("model_versions", "model_version_tags", "registered_models"),
)
TRAINING_SET = {
    "cases": {
        f"scan_{k}": {
            "patient_id": f"patient_{k}",
            "source": "manual",
            "scan": f"/pacs/Ola_Nordmann/{k}.nii.gz",
            "label_map": f"/pacs/label_maps/{k}.nii.gz",
            "content": [f"scan {k}", f"label map {k}"],
        }
        for k in range(3)
    }
}


@pytest.fixture(scope="module")
def store(empty_mlflow, tmp_path_factory):
    """The database of a server, and the id of an experiment whose files lie beside it."""
    import mlflow

    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copy(empty_mlflow, folder)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    yield folder / "mlflow.db", mlflow.create_experiment("study", str(folder / "files"))
    mlflow.set_tracking_uri(before)


@pytest.fixture
def client(store):
    """A client of the server."""
    from mlflow import MlflowClient

    return MlflowClient()


@pytest.fixture
def model(tmp_path):
    """A stock nnU-Net folder with what it predicts from, and a validation scan beside it."""
    folder = tmp_path / PLACE
    for stage in ("lowres", "cascade"):
        fold = folder / model_folder_name(stage) / "fold_0"
        (fold / "validation").mkdir(parents=True)
        (fold / "checkpoint_final.pth").write_bytes(b"weights")
        (fold / "validation" / "scan_0.nii.gz").write_bytes(b"a patient")
        labels = {"background": 0, "crlm": 13}
        (fold.parent / "dataset.json").write_text(
            json.dumps({"labels": labels, "orientation": "LPS"})
        )
        (fold.parent / "plans.json").write_text("{}")
    return folder


@pytest.fixture
def small_run(store, model):
    """Runs two nodes of the student's training as `kedro run` would; yields the run's id."""
    import mlflow

    def run(fingerprint="trained-1", training_set=TRAINING_SET, **parameters):
        write_provenance(model / "model.json", {"fingerprint": fingerprint, "folds": [0]})
        catalog = DataCatalog(
            {
                "student.training_set": JSONDataset(
                    filepath=str(model.parents[2] / "05_model_input/student/training_set.json"),
                    metadata={"mlflow": ["inputs"]},
                ),
                "student.model": TrainedModelDataset(path=str(model)),
                "student.model_card": TextDataset(
                    filepath=str(model.parents[2] / "08_reporting/student_model_card.md"),
                    metadata={"mlflow": ["artifact", "model"]},
                ),
                **{f"params:{k}": MemoryDataset(v) for k, v in parameters.items()},
            }
        )
        pipeline = Pipeline(
            [
                Node(lambda: training_set, None, "student.training_set", name="assemble"),
                Node(lambda model: CARD, "student.model", "student.model_card", name="describe"),
            ]
        )
        hooks = _create_hook_manager()
        hooks.register(TrackingHooks())
        with mlflow.start_run(experiment_id=store[1]) as opened:
            hooks.hook.before_pipeline_run(run_params={}, pipeline=pipeline, catalog=catalog)
            SequentialRunner().run(pipeline, catalog, hook_manager=hooks)
        return opened.info.run_id

    return run


def test_a_trained_model_is_registered_once(client, small_run):
    first = small_run(study="oslo: a")
    assert small_run(study="oslo: a") != first
    (version,) = client.search_model_versions("name = 'oslo_ a-student'")
    assert version.run_id == first
    assert version.description == CARD
    assert version.tags == {"fingerprint": "trained-1", "path": PLACE, "study": "oslo: a"}
    again = small_run(fingerprint="trained-2", study="oslo: a")
    versions = client.search_model_versions("name = 'oslo_ a-student'")
    assert {int(v.version): (v.run_id, v.tags["fingerprint"]) for v in versions} == {
        1: (first, "trained-1"),
        2: (again, "trained-2"),
    }


def test_a_model_is_an_output_of_its_run_and_its_weights_stay_where_they_are(client, small_run):
    run = client.get_run(small_run(study="bergen"))
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    told = (logged.name, logged.status, logged.source_run_id)
    assert told == ("bergen-student", "READY", run.info.run_id)
    assert client.list_logged_model_artifacts(output.model_id) == []


def test_weights_are_copied_if_they_are_asked_for_and_no_patient_with_them(
    client, small_run, tmp_path
):
    from mlflow.artifacts import download_artifacts

    small_run(study="tromso", mlflow_keeps_weights=True)
    copied = Path(download_artifacts("models:/tromso-student/1", dst_path=str(tmp_path / "copy")))
    files = {str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()}
    assert {Path(file).name for file in files} >= {"plans.json", "dataset.json"}
    assert f"{model_folder_name('cascade')}/fold_0/checkpoint_final.pth" in files
    assert not [file for file in files if "scan_0" in file]


def test_the_training_set_is_an_input_of_the_run(client, small_run):
    runs = [small_run(study="oslo"), small_run(study="oslo")]
    fewer = {"cases": {k: v for k, v in TRAINING_SET["cases"].items() if k != "scan_0"}}
    runs.append(small_run(study="oslo", training_set=fewer))
    inputs = [client.get_run(run).inputs.dataset_inputs for run in runs]
    assert [len(each) for each in inputs] == [1, 1, 1]
    one, again, other = (each[0].dataset for each in inputs)
    assert one.name == "student.training_set"
    assert json.loads(one.profile)["num_rows"] == 3
    assert {tag.key: tag.value for tag in inputs[0][0].tags} == {"mlflow.data.context": "training"}
    assert one.digest == again.digest != other.digest


@pytest.mark.parametrize("asked", [False, True])
def test_a_folder_is_told_only_if_it_is_asked_for(client, small_run, store, tmp_path, asked):
    small_run(study=f"told {asked}", mlflow_tells_who_and_where=asked)
    (version,) = client.search_model_versions(f"name = 'told {asked}-student'")
    assert (version.tags["path"] == str(tmp_path / PLACE)) == asked
    with sqlite3.connect(store[0]) as database:
        rows = [row for table in TABLES for row in database.execute(f"select * from {table}")]
    assert len(rows) > 5
    assert (str(tmp_path) in str(rows)) == asked
    for private in ("patient_0", "Ola_Nordmann", "scan_0", f"'{getpass.getuser()}'"):
        assert private not in str(rows)
