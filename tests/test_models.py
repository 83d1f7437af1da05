"""What the study asks of a model, tried with one that is no network."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import threshold_model
from threshold_model import ThresholdModel

from coala_kedro.anatomy import CRLM
from coala_kedro.datasets import LazyVolume
from coala_kedro.fingerprint import fingerprint
from coala_kedro.former import former_fingerprint
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import PredictionError, predict_scan, predictions

MODEL = ThresholdModel(0, 50)


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii.gz"
    image = sitk.GetImageFromArray(np.array([[[-1000, 30, 50, 100]]], np.int16))
    image.SetSpacing((0.7, 0.7, 5.0))
    sitk.WriteImage(image, str(path))
    return LazyVolume(str(path))


def recipe(model, scan):
    return predictions(model, {"a": scan}, Inference(), Compute())["a"]


def test_a_model_of_another_kind_predicts_a_scan(scan):
    made = recipe(MODEL, scan)()
    label_map, votes = (sitk.GetArrayFromImage(made[n]) for n in ("label_maps", "fold_votes"))
    assert label_map.ravel().tolist() == [0, CRLM, CRLM, 0]
    assert votes.ravel().tolist() == [0, 1, 1, 0]


def test_predictions_are_made_anew_when_its_fingerprint_changes(scan):
    same, other = ThresholdModel(0, 50), ThresholdModel(0, 40)
    assert fingerprint(recipe(same, scan)) == fingerprint(recipe(MODEL, scan))
    assert fingerprint(recipe(other, scan)) != fingerprint(recipe(MODEL, scan))


def test_version_0_1_0_never_predicted_with_it(scan):
    assert former_fingerprint(recipe(MODEL, scan)) is None


def moved(image):
    image.SetOrigin((0, 0, 3))
    return image


WRONG = {
    "no votes": (lambda made: {"label_maps": made["label_maps"]}, "must return"),
    "another grid": (
        lambda made: made | {"label_maps": moved(made["label_maps"])},
        r"`label_maps` .* not on the scan's grid, origin \(0, 0, 3\) instead of \(0, 0, 0\) mm",
    ),
    "an id of no structure": (
        lambda made: made | {"label_maps": made["label_maps"] * 10},
        "`label_maps` .* highest value 130: .* from 0 to 13",
    ),
    "more votes than folds": (
        lambda made: made | {"fold_votes": made["fold_votes"] * 2},
        "`fold_votes` .* highest value 2: .* from 0 to 1",
    ),
    "probabilities": (
        lambda made: made | {"fold_votes": sitk.Cast(made["fold_votes"], sitk.sitkFloat32)},
        "`fold_votes` .* 32-bit float",
    ),
}


@pytest.mark.parametrize("fault", list(WRONG))
def test_what_the_study_cannot_use_is_refused(fault, scan):
    spoil, told = WRONG[fault]

    @dataclasses.dataclass(frozen=True)
    class Faulty(ThresholdModel):
        def predict(self, *args):
            return spoil(super().predict(*args))

    with pytest.raises(PredictionError, match=told):
        predict_scan(Faulty(0, 50), scan, Inference(), Compute())


def test_the_docs_show_this_model():
    page = Path(__file__).parents[1] / "docs" / "bringing_a_model.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert Path(threshold_model.__file__).read_text(encoding="utf-8").endswith(code)
