"""What a run says of its trainings before its first node."""

import functools
import logging

import nibabel
import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.json import JSONDataset

from coala_kedro.datasets import MadeFolderDataset, VolumeFolderDataset
from coala_kedro.forecast import forecast
from coala_kedro.hooks import ResultHooks
from coala_kedro.pipelines.preprocessing.intake import import_scans
from coala_kedro.sources import SourceVolume

pytestmark = pytest.mark.filterwarnings("ignore:One or more dataset names")

TRAINING = "teacher.fold_0.lowres"


def fill(folder, scan, epochs):
    (folder / "weights").write_text(scan.fingerprint)


def train(scans, epochs):
    return functools.partial(fill, scan=scans["s1"], epochs=epochs)


def fail(scans):
    raise ValueError("no lesion is left")


IMPORT = Node(import_scans, ["table", "raw_scans"], "scans", name="import_scans")
TRAIN = Node(train, ["scans", "params:epochs"], TRAINING, name="train")


@pytest.fixture
def raw(tmp_path):
    """A scan whose header holds a remark: it is written anew instead of linked."""
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([1, 1, 2, 1]))
    image.header["descrip"] = b"somebody"
    nibabel.save(image, tmp_path / "raw.nii.gz")
    return SourceVolume(str(tmp_path / "raw.nii.gz"))


@pytest.fixture
def catalog(tmp_path, raw):
    return DataCatalog(
        {
            "table": MemoryDataset(pd.DataFrame({"scan_id": ["s1"]})),
            "raw_scans": MemoryDataset({"s1": raw}, copy_mode="assign"),
            "scans": VolumeFolderDataset(path=str(tmp_path / "scans")),
            "n_scans": JSONDataset(filepath=str(tmp_path / "n_scans.json")),
            TRAINING: MadeFolderDataset(path=str(tmp_path / "teacher" / "lowres" / "fold_0")),
            "params:epochs": MemoryDataset(2),
        }
    )


@pytest.fixture
def finished(catalog, raw):
    """A run before scans were written anew has trained."""
    (recipe,) = import_scans(catalog.load("table"), {"s1": raw}).values()
    assert recipe.keywords == {"rewritten": True}
    catalog.save("scans", {"s1": functools.partial(recipe.func, raw)})
    catalog.save(TRAINING, train(catalog.load("scans"), 2))
    return catalog


def test_a_scan_that_is_only_written_anew_trains_nothing_again(finished):
    expected = forecast(Pipeline([IMPORT, TRAIN]), finished)
    assert expected.lines() == ["teacher: of 1 trainings 1 stand."]
    assert not expected.faults


def test_what_changes_is_named(finished):
    finished["params:epochs"] = MemoryDataset(3)
    (line,) = forecast(Pipeline([IMPORT, TRAIN]), finished).lines()
    assert line == (
        "teacher: of 1 trainings 1 will be trained AGAIN (teacher.fold_0.lowres), for these "
        "change: epochs."
    )


def test_nothing_is_made(catalog, tmp_path):
    before = {*tmp_path.rglob("*")}
    assert forecast(Pipeline([IMPORT, TRAIN]), catalog).lines() != []
    assert {*tmp_path.rglob("*")} == before


def test_a_run_without_trainings_has_no_forecast(catalog):
    assert forecast(Pipeline([IMPORT]), catalog).lines() == []


def failing(inputs="raw_scans"):
    """A pipeline whose second node fails."""
    counts = Node(fail, inputs, "n_scans", name="count_lesions")
    last = Node(train, ["scans", "n_scans"], TRAINING, name="train")
    return Pipeline([IMPORT, counts, last])


def test_a_node_that_will_fail_is_named_with_its_fault(finished, caplog):
    expected = forecast(failing(), finished)
    assert expected.faults == {"count_lesions": "ValueError: no lesion is left"}
    assert expected.lines() == ["teacher: of 1 trainings 1 depend on steps that are not done yet."]
    caplog.set_level(logging.INFO)
    ResultHooks().before_pipeline_run(failing(), finished)
    assert "The node count_lesions will fail: ValueError: no lesion is left" in caplog.text


def test_what_fails_for_an_earlier_step_is_not_done_yet_is_no_fault(catalog):
    expected = forecast(failing("scans"), catalog)
    assert not expected.faults
    assert expected.unknown == [TRAINING]


def test_what_is_not_there_yet_is_no_fault(catalog):
    expected = forecast(Pipeline([TRAIN]), catalog)
    assert not expected.faults
    assert expected.unknown == [TRAINING]


def test_the_log_speaks_again_afterwards(finished):
    forecast(failing(), finished)
    assert logging.getLogger("coala_kedro").isEnabledFor(logging.ERROR)
