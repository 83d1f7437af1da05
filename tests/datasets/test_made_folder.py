import multiprocessing
import os
import signal
from functools import partial

import pytest
from kedro.io import DataCatalog, DatasetError

from coala_kedro.datasets import MadeFolder, MadeFolderDataset
from coala_kedro.fingerprint import fingerprint


class Calls(list):
    """What the recipe found in its folder, call by call; no part of its fingerprint."""

    fingerprint = ""


class Stop:
    """What ends the recipe half-way; no part of its fingerprint."""

    fingerprint = ""

    def __init__(self, stop=None):
        self.stop = stop


def train(folder, calls, epochs, stop):
    calls.append(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))
    (folder / "checkpoint").write_text(str(epochs))
    if stop.stop:
        stop.stop()
    (folder / "final").write_text(str(epochs))


def out_of_memory():
    raise MemoryError("out of memory")


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def recipe(calls, epochs=10, stop=None):
    return partial(train, calls=calls, epochs=epochs, stop=Stop(stop))


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "lowres" / "fold_0"


@pytest.fixture
def dataset(folder):
    return MadeFolderDataset(path=str(folder))


def assert_incomplete(dataset, folder):
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=f"{folder} is not complete: run the step that makes it"):
        dataset.load()


def test_the_recipe_fills_the_folder(dataset, folder, calls, monkeypatch):
    monkeypatch.chdir(folder.parents[1])
    assert_incomplete(dataset, folder)
    MadeFolderDataset(path="lowres/fold_0").save(recipe(calls))
    assert dataset.exists()
    assert dataset.load() == MadeFolder(folder, fingerprint(recipe(calls)))
    assert MadeFolderDataset(path="lowres/fold_0").load().path == folder
    assert (folder / "final").read_text() == "10"


def test_a_folder_that_stands_is_left_alone(dataset, calls):
    dataset.save(recipe(calls))
    dataset.save(recipe(calls))
    assert len(calls) == 1


def test_a_folder_that_failed_is_incomplete_and_goes_on_as_it_is(dataset, folder, calls):
    with pytest.raises(DatasetError, match="out of memory"):
        dataset.save(recipe(calls, stop=out_of_memory))
    assert_incomplete(dataset, folder)
    dataset.save(recipe(calls))
    assert calls == [[], ["checkpoint"]]
    assert dataset.exists()
    assert not (folder.parent / "superseded").exists()


def test_a_folder_that_was_killed_is_incomplete_and_goes_on_as_it_is(dataset, folder, calls):
    process = multiprocessing.get_context("fork").Process(
        target=lambda: dataset.save(recipe(calls, stop=kill_me))
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert_incomplete(dataset, folder)
    dataset.save(recipe(calls))
    assert calls == [["checkpoint"]]
    assert dataset.exists()


@pytest.mark.parametrize("stop", [None, out_of_memory], ids=["complete", "begun"])
def test_a_folder_made_otherwise_is_set_aside_and_kept(dataset, folder, calls, stop):
    try:
        dataset.save(recipe(calls, stop=stop))
    except DatasetError:
        assert stop
    made = {path.name: path.read_bytes() for path in folder.iterdir()}
    dataset.save(recipe(calls, epochs=20))
    assert calls[-1] == [], "the new recipe starts from nothing"
    assert (folder / "final").read_text() == "20"
    assert dataset.load().fingerprint == fingerprint(recipe(calls, epochs=20))
    (aside,) = (folder.parent / "superseded").iterdir()
    assert aside.name.startswith("fold_0-")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == made


def test_it_foresees_what_it_would_do_and_says_why(dataset, folder, calls, caplog):
    asked = MadeFolder(folder, fingerprint(recipe(calls)))
    assert dataset.foresee(recipe(calls)) == (asked, [])
    with pytest.raises(DatasetError):
        dataset.save(recipe(calls, stop=out_of_memory))
    assert dataset.foresee(recipe(calls)) == (asked, []), "it would be finished"
    dataset.save(recipe(calls))
    assert dataset.foresee(recipe(calls)) == (asked, None), "it stands"
    other = recipe(calls, epochs=20)
    assert dataset.foresee(other) == (MadeFolder(folder, fingerprint(other)), ["epochs"])
    assert len(calls) == 2, "nothing was made for it"
    dataset.save(other)
    assert "was made from other inputs (epochs): set aside" in caplog.text


def test_a_folder_somebody_else_filled_is_no_start(dataset, folder, calls):
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").write_text("not ours")
    dataset.save(recipe(calls))
    assert not (folder / "checkpoint_final.pth").exists()
    (aside,) = (folder.parent / "superseded").iterdir()
    assert (aside / "checkpoint_final.pth").read_text() == "not ours"


def test_every_superseded_folder_is_kept(dataset, folder, calls):
    for epochs in (10, 20, 30):
        dataset.save(recipe(calls, epochs=epochs))
    aside = sorted((folder.parent / "superseded").iterdir())
    assert [(path / "final").read_text() for path in aside] == ["10", "20"]


def test_another_recipe_leaves_the_folder_incomplete_until_it_is_done(dataset, folder, calls):
    dataset.save(recipe(calls))
    with pytest.raises(DatasetError, match="out of memory"):
        dataset.save(recipe(calls, epochs=20, stop=out_of_memory))
    assert_incomplete(dataset, folder)


def test_a_catalog_makes_it_from_a_factory_pattern(tmp_path, calls):
    catalog = DataCatalog.from_config(
        {
            "{model}.{fold}.lowres": {
                "type": "coala_kedro.datasets.MadeFolderDataset",
                "path": f"{tmp_path}/{{model}}/lowres/{{fold}}",
                "metadata": {"kedro-viz": {"layer": "{model}"}},
            }
        }
    )
    catalog.save("teacher.fold_3.lowres", recipe(calls))
    assert (tmp_path / "teacher" / "lowres" / "fold_3" / "final").is_file()
    assert catalog.load("teacher.fold_3.lowres").path == tmp_path / "teacher/lowres/fold_3"
    assert catalog.get("teacher.fold_3.lowres").metadata == {"kedro-viz": {"layer": "teacher"}}
