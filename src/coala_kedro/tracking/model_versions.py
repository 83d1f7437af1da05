"""What a model was trained on, and the model itself, in MLflow's model registry."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from coala_kedro.tracking.training_runs import STUDY

_NOT_IN_NAMES = r"[^\w\- ]"
"""What MLflow does not take in the names of logged models and in a search for registered ones."""
_PLACE_DEPTH = 3  # `06_models/student/Dataset001_CRLM`
_EXTERNAL = "mlflow.model.isExternal"
_MAX_DESCRIPTION = 5000


class StoredModel(Protocol):
    """A model in a folder; `nnunet.model.TrainedModel` is one."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def fingerprint(self) -> str:
        """Of what trained it."""

    @property
    def files(self) -> Sequence[Path]:
        """All files it predicts from, in the folder."""


def log_training_set(name: str, path: Path, training_set: dict[str, Any]) -> None:
    """Log which scans a model is trained on as an input of the active run.

    MLflow keeps the name, the place, the number of scans and a digest of scan ids, sources and
    contents, and no row of it.

    Args:
        name: `<model>.training_set`.
        path: Of its file, as `place` gives it.
        training_set: A `TrainingSet` as plain data.
    """
    import mlflow
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]

    frame = pd.DataFrame(
        {"scan_id": scan_id, "source": case["source"], "content": " ".join(case["content"])}
        for scan_id, case in sorted(training_set["cases"].items())
    )
    source = LocalArtifactDatasetSource(str(path))
    dataset = from_pandas(frame, source=source, name=name)
    mlflow.log_input(dataset, context="training")


def register(
    name: str,
    model: StoredModel,
    *,
    run_id: str,
    study: str,
    path: Path,
    card: str,
    with_weights: bool,
) -> None:
    """Register a model as a new version of `<study>-<name>`, unless one has its fingerprint.

    Args:
        name: `teacher` or `student`.
        model: The trained model.
        run_id: Of the run that it is registered from.
        study: The study's name.
        path: Of its folder, as `place` gives it.
        card: Its card, the version's description.
        with_weights: Copy the files it predicts from to MLflow.
    """
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModelOutput

    client = MlflowClient()
    registered = re.sub(_NOT_IN_NAMES, "_", f"{study}-{name}")
    same = f"name = '{registered}' and tags.fingerprint = '{model.fingerprint}'"
    if client.search_model_versions(same):
        return
    tags = {"fingerprint": model.fingerprint, "path": str(path), STUDY: study}
    logged = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=registered,  # the run has a folder of artifacts with the model's own name
        source_run_id=run_id,
        tags=tags if with_weights else tags | {_EXTERNAL: "true"},
        model_type="nnU-Net",
    )
    if with_weights:
        _copy(client, logged.model_id, model)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    if not client.search_registered_models(f"name = '{registered}'"):
        client.create_registered_model(registered)
    client.create_model_version(
        registered,
        f"models:/{logged.model_id}",
        run_id,
        tags,
        description=card[:_MAX_DESCRIPTION],
        model_id=logged.model_id,
    )


def _copy(client: Any, model_id: str, model: StoredModel) -> None:
    """Copy what a model predicts from, and nothing else of its folder: it holds patients' scans."""
    with tempfile.TemporaryDirectory() as folder:
        for file in model.files:
            link = Path(folder) / file.relative_to(model.path)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
        client.log_model_artifacts(model_id, folder)


def place(path: Path, whole: bool) -> Path:
    """A path as MLflow may tell it: whole, or its last three names.

    Args:
        path: Of a file or folder.
        whole: Whether MLflow may tell users, hosts and folders.
    """
    return path if whole else Path(*path.parts[-_PLACE_DEPTH:])
