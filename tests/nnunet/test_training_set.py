import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from coala_kedro.anatomy import LABELS
from coala_kedro.nnunet.planning import describe
from coala_kedro.nnunet.training_set import (
    Case,
    Fold,
    TrainingSet,
    TrainingSetError,
    split_by_patient,
)


def case(patient_id="p0", source="manual", folder="data", content=("scan", "labels")):
    return Case(
        patient_id=patient_id,
        source=source,
        scan=Path(folder) / "scans" / "scan.nii.gz",
        label_map=Path(folder) / "label_maps" / "scan.nii.gz",
        content=content,
    )


def training_set(patients):
    """A case per source in `patients`, a list of sources per patient."""
    return TrainingSet(
        cases={
            f"scan_{patient}_{number}": case(f"p{patient}", source)
            for patient, sources in enumerate(patients)
            for number, source in enumerate(sources)
        }
    )


SOURCES = st.lists(st.sampled_from(["manual", "pseudo"]), min_size=1, max_size=4)


@given(
    st.integers(2, 5).flatmap(
        lambda n_folds: st.tuples(
            st.just(n_folds), st.lists(SOURCES, min_size=n_folds, max_size=n_folds + 8)
        )
    ),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_no_patient_is_on_both_sides_and_every_case_is_validated_once(shape, seed):
    n_folds, patients = shape
    cohort = training_set(patients)
    folds = split_by_patient(cohort, n_folds, seed)
    assert len(folds) == n_folds
    validated = [scan_id for fold in folds for scan_id in fold.validation]
    assert sorted(validated) == sorted(cohort.cases)
    for fold in folds:
        assert fold.train
        assert fold.validation
        assert sorted(fold.train + fold.validation) == sorted(cohort.cases)
        trained, tested = (
            {cohort.cases[scan_id].patient_id for scan_id in side}
            for side in (fold.train, fold.validation)
        )
        assert not trained & tested


def test_pseudo_labelled_cases_are_spread_evenly():
    cohort = training_set([["manual"]] * 10 + [["pseudo"]] * 20)
    for fold in split_by_patient(cohort, 5, seed=0):
        sources = [cohort.cases[scan_id].source for scan_id in fold.validation]
        assert (sources.count("manual"), sources.count("pseudo")) == (2, 4)


def test_the_split_is_the_seeds_whatever_the_order_of_cases():
    cohort = training_set([["manual", "manual"]] * 12)
    backwards = TrainingSet(cases=dict(reversed(cohort.cases.items())))
    assert split_by_patient(cohort, 5, seed=1) == split_by_patient(backwards, 5, seed=1)
    assert split_by_patient(cohort, 5, seed=1) != split_by_patient(cohort, 5, seed=2)


def test_fewer_patients_than_folds_are_refused():
    with pytest.raises(
        TrainingSetError, match=r"at least 5 patients, and there are 4 \(12 scans\)"
    ):
        split_by_patient(training_set([["manual"] * 3] * 4), 5, seed=0)


def test_as_many_patients_as_folds_leave_one_out():
    folds = split_by_patient(training_set([["manual"] * 2] * 5), 5, seed=0)
    assert [len(fold.validation) for fold in folds] == [2] * 5


@pytest.mark.parametrize(
    "change",
    [
        {"patient_id": "p1"},
        {"source": "pseudo"},
        {"content": ("other scan", "labels")},
        {"content": ("scan", "other labels")},
    ],
)
def test_the_fingerprint_changes_with_a_case(change):
    before = TrainingSet(cases={"a": case()}).fingerprint
    assert TrainingSet(cases={"a": case(**change)}).fingerprint != before


def test_the_fingerprint_changes_with_the_cases_and_not_with_their_place_or_order():
    one = TrainingSet(cases={"a": case(), "b": case("p1")})
    moved = TrainingSet(cases={"b": case("p1", folder="/elsewhere"), "a": case(folder="/other")})
    assert one.fingerprint == moved.fingerprint
    assert TrainingSet(cases={"a": case()}).fingerprint != one.fingerprint
    assert TrainingSet(cases={"a": case(), "c": case("p1")}).fingerprint != one.fingerprint


def test_a_training_set_survives_json():
    cohort = training_set([["manual", "pseudo"], ["manual"]])
    plain = json.loads(json.dumps(cohort.model_dump(mode="json")))
    assert TrainingSet.model_validate(plain) == cohort


def test_the_description_refers_to_the_files_where_they_lie(tmp_path):
    absolute = case(folder=str(tmp_path), content=("1", "2"))
    description = describe(TrainingSet(cases={"b": absolute, "a": case()}))
    assert description["numTraining"] == 2
    assert description["labels"] == LABELS
    assert description["channel_names"] == {"0": "CT"}
    assert list(description["dataset"]) == ["a", "b"]
    assert description["dataset"]["b"] == {
        "images": [f"{tmp_path}/scans/scan.nii.gz"],
        "label": f"{tmp_path}/label_maps/scan.nii.gz",
    }
    assert description["dataset"]["a"]["images"] == [f"{Path.cwd()}/data/scans/scan.nii.gz"]
    assert list(tmp_path.iterdir()) == []
    json.dumps(description)


def test_what_is_not_known_of_a_case_is_refused():
    known = case().model_dump()
    with pytest.raises(ValidationError):
        Case.model_validate(known | {"source": "student"})
    with pytest.raises(ValidationError):
        Case.model_validate(known | {"hospital": "A"})
    with pytest.raises(ValidationError):
        Fold.model_validate({"train": ["a"], "validation": ["b"], "val": []})
