from functools import partial

import pytest
from kedro.io import DatasetError

from coala_kedro.datasets import RecordFolderDataset


class Calls(list):
    fingerprint = ""


def measure(calls, scan, n_slices):
    calls.append(scan)
    if n_slices < 0:
        raise ValueError("no slices")
    return {"scan": {"n_slices": n_slices, "scanner": "A"}, "masks": {}}


def recipes(calls, n_slices):
    return {scan: partial(measure, calls, scan, n) for scan, n in n_slices.items()}


@pytest.fixture
def dataset(tmp_path):
    return RecordFolderDataset(path=str(tmp_path / "inspected"))


def test_records_are_saved_and_loaded_as_they_were_made(dataset):
    dataset.save(recipes(Calls(), {"b": 3, "a": 5}))
    assert dataset.load() == {
        "a": {"scan": {"n_slices": 5, "scanner": "A"}, "masks": {}},
        "b": {"scan": {"n_slices": 3, "scanner": "A"}, "masks": {}},
    }


def test_what_stands_is_not_measured_again_and_what_is_not_asked_for_goes(dataset):
    calls = Calls()
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    dataset.save(recipes(calls, {"b": 2, "c": 3}))
    assert calls == ["a", "b", "c"]
    assert list(dataset.load()) == ["b", "c"]


def test_a_run_that_stops_goes_on_where_it_was(dataset):
    calls = Calls()
    with pytest.raises(DatasetError, match="scan 'b': no slices"):
        dataset.save(recipes(calls, {"a": 1, "b": -1}))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="not complete"):
        dataset.load()
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    assert calls == ["a", "b", "b"]
