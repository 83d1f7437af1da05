"""What the miniature's trainings leave to look at: cost, curves, card, MLflow."""

import json
import re

import pandas as pd
import pytest
from mlflow import MlflowClient

from coala_kedro.report.plots import svg
from coala_kedro.report.training_figures import training_loss_lowres

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

STAGES = ("lowres", "cascade")


@pytest.fixture(params=["teacher", "student"])
def model(request):
    return request.param


def report(study, model, name):
    return study.data / "08_reporting" / f"{model}_{name}"


def test_the_cost_of_every_training_is_told(miniature, model):
    cost = pd.read_csv(report(miniature, model, "training_cost.csv"))
    assert [*cost.columns] == [
        *("model", "stage", "fold", "device", "epochs", "epochs_trained", "attempts", "hours"),
    ]
    assert {*cost["model"]} == {model}
    assert [*zip(cost["stage"], cost["fold"], strict=True)] == [
        (stage, fold) for stage in STAGES for fold in range(5)
    ]
    for row in cost.itertuples():
        folder = miniature.fold_folder(model, row.stage, row.fold)
        (attempt,) = json.loads((folder / "training.json").read_text())["attempts"]
        whole = json.loads((folder / ".complete.json").read_text())["seconds"]
        assert sum(epoch["epoch_seconds"] for epoch in attempt["epochs"]) < row.hours * 3600
        assert row.hours * 3600 <= whole + 0.2
    assert cost["epochs"].eq(cost["epochs_trained"]).all()
    assert cost["epochs"].eq(miniature.protocol.epochs).all()
    assert {*cost["device"]} == {"CPU"}


def test_every_epoch_is_in_the_curves(miniature, model):
    curves = pd.read_csv(report(miniature, model, "training_curves.csv"))
    trainings = curves.groupby(["stage", "fold"])["epoch"].apply(list)
    assert {*trainings.index} == {(stage, fold) for stage in STAGES for fold in range(5)}
    assert all(epochs == [*range(miniature.protocol.epochs)] for epochs in trainings)


def test_the_curves_are_drawn(miniature):
    models = ("teacher", "student")
    curves = (pd.read_csv(report(miniature, model, "training_curves.csv")) for model in models)
    drawn = miniature.data / "08_reporting" / "figures" / "training_loss_lowres.svg"
    assert drawn.read_text(encoding="utf-8") == svg(training_loss_lowres(*curves), drawn.stem)


def test_the_card_says_what_the_model_is(miniature, model):
    card = report(miniature, model, "model_card.md").read_text()
    folds, manual = miniature.folds(model), miniature.folds("teacher")
    counts = [sum(len(fold.validation) for fold in each) for each in (folds, manual)]
    assert f"# Model card: {model}" in card
    assert f"{counts[0]} scans of" in card
    assert f"| manual | {counts[1]} |" in card
    assert ("| pseudo |" in card) == (model == "student")
    assert f"| seed | {miniature.protocol.seed} |" in card
    dice = pd.read_csv(report(miniature, model, "cross_validation.csv"))
    liver = dice[dice["structure"] == "liver"].groupby("stage")["dice"].mean()
    assert f"| liver | {liver['lowres']:.3f} | {liver['cascade']:.3f} |" in card
    assert "no medical device" in card
    assert not re.search(r"\bnan\b|INT0", card), "no scan is named"


def test_mlflow_groups_the_runs_and_shows_the_use_of_the_machine(miniature):
    client = MlflowClient(miniature.tracking)
    folders = [
        miniature.fold_folder(model, stage, k)
        for model in ("teacher", "student")
        for stage in STAGES
        for k in range(5)
    ]
    for folder in folders:
        run = client.get_run(json.loads((folder / "mlflow_run.json").read_text())["run_id"])
        assert run.data.tags["study"] == "demo"
        assert run.data.metrics["epoch_seconds"] > 0
        assert 0 < run.data.metrics["cpu_percent"] < 6400
        assert 0.1 < run.data.metrics["memory_gb"] < 100
