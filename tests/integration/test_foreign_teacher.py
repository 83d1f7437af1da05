"""A cascade that somebody else trained is the teacher: other ids, other names, other folders."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch

from coala_kedro.anatomy import CRLM, LABELS
from coala_kedro.datasets import LazyVolume
from coala_kedro.models.prediction import predict_scan
from coala_kedro.nnunet.model import open_model

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

THEIR_ID = {ours: (ours * 5) % 14 for ours in LABELS.values()}
MEANING = {THEIR_ID[ours]: name for name, ours in LABELS.items() if ours}
FOLDS = (0, 2, 3)
ENTRY = """
teacher.model:
  type: coala_kedro.datasets.TrainedModelDataset
  path: {path}
  labels: {labels}
  metadata:
    kedro-viz: {{layer: teacher}}
"""


def permuted(tensor, axis, channel_of):
    """A tensor whose channel `channel_of[k]` of an axis is the given one's channel k."""
    order = torch.empty(tensor.shape[axis], dtype=torch.long)
    for ours, theirs in channel_of.items():
        order[theirs] = ours
    return tensor.index_select(axis, order)


def in_their_ids(weights):
    """The same network with labels numbered otherwise, where it makes and where it reads them."""
    translated = {}
    for name, tensor in weights.items():
        if ".seg_layers." in name:
            translated[name] = permuted(tensor, 0, THEIR_ID)
        elif ".stages.0.0." in name and tensor.ndim == 5 and tensor.shape[1] == len(LABELS):
            # The image and, behind it, the first stage's labels without background.
            translated[name] = permuted(tensor, 1, THEIR_ID)
        else:
            translated[name] = tensor
    return translated


def write_cascade(miniature, place, name_of, labels, change):
    """Some folds of the miniature's teacher as a stock cascade with other labels and weights."""
    for stage in ("lowres", "cascade"):
        source = miniature.fold_folder("teacher", stage, 0).parent
        folder = place / name_of(source.name)
        folder.mkdir(parents=True)
        shutil.copy(source / "plans.json", folder)
        description = json.loads((source / "dataset.json").read_text()) | {"labels": labels}
        (folder / "dataset.json").write_text(json.dumps(description))
        for fold in FOLDS:
            file = source / f"fold_{fold}" / "checkpoint_final.pth"
            checkpoint = torch.load(file, weights_only=False)
            weights = checkpoint["network_weights"]
            # So briefly trained, it sees no lesion by itself.
            for name in weights:
                if ".seg_layers." in name and name.endswith("bias"):
                    weights[name][CRLM] += 0.7
            checkpoint["network_weights"] = change(weights)
            (folder / f"fold_{fold}").mkdir()
            torch.save(checkpoint, folder / f"fold_{fold}" / file.name)
    return place


@pytest.fixture(scope="module")
def released(miniature, tmp_path_factory):
    """A teacher as somebody else would have trained and named it."""
    labels = {f"structure {k}": k for k in range(1, 14)} | {"background": 0}
    return write_cascade(
        miniature,
        tmp_path_factory.mktemp("released"),
        lambda name: name.replace("nnUNetPlans", "nnUNetTheirPlans"),
        labels,
        in_their_ids,
    )


@pytest.fixture(scope="module")
def ours(miniature, tmp_path_factory):
    """The same networks in our ids."""
    place = tmp_path_factory.mktemp("ours")
    return write_cascade(miniature, place, lambda name: name, LABELS, lambda weights: weights)


def test_the_study_runs_without_training_a_teacher(miniature, released, tmp_path):
    study = miniature.copy(
        tmp_path / "data",
        *("01_raw", "02_intermediate", "03_primary", "08_reporting"),
        *("05_model_input/student", "06_models/student"),
    )
    for file in (study.data / "08_reporting").glob("[!.]*.*"):
        if "screening" not in file.name and "table_1" not in file.name:
            file.unlink()
    study = study.with_entries("released", ENTRY.format(path=released, labels=MEANING))
    study.run("--pipelines", "pseudolabel,student,evaluation", log=tmp_path / "run.log")

    assert not (study.data / "06_models" / "teacher").exists()
    summary = pd.read_csv(study.data / "08_reporting" / "summary.csv")
    assert {*summary["model"]} == {"teacher", "student"}
    votes = sitk.ReadImage(str(next((study.data / "07_model_output").rglob("fold_votes/*"))))
    assert sitk.GetArrayFromImage(votes).max() <= len(FOLDS)


def test_its_predictions_are_those_of_the_same_networks_in_our_ids(miniature, ours, released):
    models = open_model(ours), open_model(released, labels=MEANING)
    scan = LazyVolume(str(miniature.data / "02_intermediate/internal/scans/INT007_pre.nii.gz"))
    one, other = (
        predict_scan(model, scan, miniature.inference, miniature.compute) for model in models
    )
    assert 0 < (voxels(one["label_maps"]) == CRLM).mean() < 0.9
    assert len(np.unique(voxels(one["label_maps"]))) >= 3
    for name in ("label_maps", "fold_votes"):
        # The sum over a convolution's channels runs in another order.
        assert (voxels(one[name]) != voxels(other[name])).mean() < 1e-3


def voxels(image):
    return sitk.GetArrayFromImage(image)
