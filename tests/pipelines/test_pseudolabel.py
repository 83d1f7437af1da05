import itertools

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from coala_kedro.anatomy import CRLM, LIVER, STRUCTURES
from coala_kedro.datasets import LazyVolume
from coala_kedro.fingerprint import fingerprint
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import predict as predict_scans
from coala_kedro.nnunet.model import TrainedModel
from coala_kedro.pipelines.pseudolabel.nodes import (
    PseudoLabelling,
    compose_pseudo_label_maps,
    fold_agreement,
    review_pseudo_labels,
)

SPLEEN = next(s for s in STRUCTURES if s.name == "spleen")
LIVER_TOTALSEGMENTATOR = next(s.totalsegmentator_id for s in STRUCTURES if s.id == LIVER)


def written(folder, name, values):
    image = sitk.GetImageFromArray(np.array([[values]], np.uint8))
    image.SetSpacing([10.0, 10.0, 10.0])  # 1 mL a voxel
    path = folder / f"{name}.nii.gz"
    sitk.WriteImage(image, str(path))
    return LazyVolume(str(path))


def values(image):
    return sitk.GetArrayFromImage(image).ravel().tolist()


@pytest.fixture
def model(tmp_path):
    return TrainedModel(tmp_path / "model", (0, 1, 2, 3, 4), "trained on 28 scans")


@pytest.fixture
def predictions(tmp_path):
    """Four scans: all folds agree, half agree, only one fold sees a lesion, none sees any."""
    scans = {
        "agreed": ([CRLM, CRLM, LIVER, CRLM, SPLEEN.id], [5, 5, 0, 5, 0]),
        "halved": ([CRLM, CRLM, LIVER, 0, SPLEEN.id], [5, 3, 0, 0, 0]),
        "lone": ([LIVER, CRLM, LIVER, 0, SPLEEN.id], [0, 1, 0, 0, 0]),
        "healthy": ([LIVER, LIVER, LIVER, 0, SPLEEN.id], [0, 0, 0, 0, 0]),
    }
    made = {}
    for scan_id, (label_map, votes) in scans.items():
        made[f"label_maps/{scan_id}"] = written(tmp_path, f"{scan_id}_map", label_map)
        made[f"fold_votes/{scan_id}"] = written(tmp_path, f"{scan_id}_votes", votes)
    return made


@pytest.fixture
def organ_masks(tmp_path):
    """Liver everywhere, and a class that the study does not use."""
    organs = [LIVER_TOTALSEGMENTATOR] * 4 + [117]
    mask = written(tmp_path, "organs", organs)
    return dict.fromkeys(("agreed", "halved", "lone", "healthy", "manual"), mask)


@pytest.fixture
def review(predictions, organ_masks, model):
    def run(**options):
        chosen = PseudoLabelling(**options)
        maps = compose_pseudo_label_maps(predictions, organ_masks, chosen)
        return review_pseudo_labels(predictions, maps, model, chosen).set_index("scan_id")

    return run


@st.composite
def fold_masks(draw):
    n_folds = draw(st.integers(2, 6))
    return draw(arrays(bool, (n_folds, 2, 3, 4)))


@given(fold_masks())
@settings(max_examples=100)
def test_fold_agreement_is_the_dice_of_all_pairs_of_folds_pooled(masks):
    pairs = list(itertools.combinations(masks, 2))
    overlap = sum(2 * int((one & other).sum()) for one, other in pairs)
    sizes = sum(int(one.sum() + other.sum()) for one, other in pairs)
    found = fold_agreement(masks.sum(axis=0).astype(np.uint8), len(masks))
    if sizes:
        assert found == pytest.approx(overlap / sizes)
    else:
        assert np.isnan(found)


def test_fold_agreement_does_not_overflow_the_votes_type():
    assert fold_agreement(np.full((9, 9, 9), 20, np.uint8), 20) == 1


def test_one_fold_cannot_disagree():
    assert np.isnan(fold_agreement(np.ones((2, 2, 2), np.uint8), 1))


def test_review_measures_every_pseudo_label(review):
    frame = review()
    assert frame["n_lesions"].to_dict() == {"agreed": 2, "halved": 1, "lone": 1, "healthy": 0}
    assert frame["crlm_ml"].to_dict() == pytest.approx(
        {"agreed": 3, "halved": 2, "lone": 1, "healthy": 0}
    )
    # "halved": (5·4 + 3·2) / (4·8)
    assert frame["fold_agreement"].to_dict() == pytest.approx(
        {"agreed": 1, "halved": 26 / 32, "lone": 0, "healthy": np.nan}, nan_ok=True
    )


@pytest.mark.parametrize(
    ("minimum", "refused"),
    [
        (0.0, set()),
        (0.5, {"lone"}),
        (26 / 32, {"lone"}),
        (0.9, {"lone", "halved"}),
        (1.0, {"lone", "halved"}),
    ],
)
def test_review_refuses_below_the_minimum_and_keeps_scans_without_crlm(review, minimum, refused):
    frame = review(min_fold_agreement=minimum)
    assert set(frame.index[~frame["accepted"]]) == refused
    assert (frame.loc[list(refused), "reason"] == f"folds agree less than {minimum}").all()
    assert (frame.loc[frame["accepted"], "reason"] == "accepted").all()


def test_review_of_nothing_has_its_columns(model):
    frame = review_pseudo_labels({}, {}, model, PseudoLabelling())
    assert frame.empty
    assert {"scan_id", "fold_agreement", "accepted", "reason"} <= set(frame.columns)


def test_organs_come_from_the_segmenter_and_crlm_from_the_teacher(predictions, organ_masks):
    recipes = compose_pseudo_label_maps(predictions, organ_masks, PseudoLabelling())
    assert set(recipes) == {"agreed", "halved", "lone", "healthy"}
    assert values(recipes["agreed"]()) == [CRLM, CRLM, LIVER, CRLM, 0]
    assert values(recipes["healthy"]()) == [LIVER, LIVER, LIVER, LIVER, 0]


def test_all_can_come_from_the_teacher(predictions, organ_masks):
    chosen = PseudoLabelling(organs_from="teacher")
    recipes = compose_pseudo_label_maps(predictions, organ_masks, chosen)
    assert values(recipes["agreed"]()) == [CRLM, CRLM, LIVER, CRLM, SPLEEN.id]
    assert values(recipes["healthy"]()) == [LIVER, LIVER, LIVER, 0, SPLEEN.id]


def test_the_source_of_organs_is_part_of_the_fingerprint(predictions, organ_masks):
    one, other = (
        compose_pseudo_label_maps(predictions, organ_masks, PseudoLabelling(organs_from=source))
        for source in ("segmenter", "teacher")
    )
    assert fingerprint(one["agreed"]) != fingerprint(other["agreed"])


@pytest.fixture
def predict(tmp_path, model):
    scans = {scan: written(tmp_path, scan, [n]) for n, scan in enumerate(("a", "b", "c", "d"))}
    table = pd.DataFrame(
        {"scan_id": list(scans), "role": ["manual", "unlabelled", "test", "unlabelled"]}
    )

    def run(trained=model, inference=None, compute=None):
        inference, compute = inference or Inference(), compute or Compute()
        return predict_scans(table, scans, trained, inference, compute, role="unlabelled")

    return run


def test_only_unlabelled_scans_are_predicted(predict):
    assert list(predict()) == ["b", "d"]


def test_a_prediction_is_made_anew_for_another_model_or_inference_but_not_machine(predict, model):
    before = fingerprint(predict()["b"])
    retrained = TrainedModel(model.path, model.folds, "trained on 29 scans")
    assert fingerprint(predict(trained=retrained)["b"]) != before
    assert fingerprint(predict(inference=Inference(tile_step_size=0.7))["b"]) != before
    assert fingerprint(predict()["d"]) != before
    assert fingerprint(predict(compute=Compute(device="cpu", torch_threads=1))["b"]) == before


@pytest.mark.parametrize(
    "options", [{"organs_from": "student"}, {"min_fold_agreement": 1.1}, {"minimum": 0.5}]
)
def test_an_option_that_does_not_exist_is_refused(options):
    with pytest.raises(ValidationError):
        PseudoLabelling(**options)
