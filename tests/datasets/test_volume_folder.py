import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DataCatalog, DatasetError

from coala_kedro.datasets import LazyVolume, VolumeFolderDataset
from coala_kedro.datasets.grouping import by_scan


class Calls(list):
    """Which scans were made; no part of a recipe's fingerprint."""

    fingerprint = ""


def volume_of(value):
    return sitk.GetImageFromArray(np.full((3, 4, 5), value, np.int16))


def make(calls, scan, value=0):
    calls.append(scan)
    return volume_of(value)


def make_from(calls, scan, source):
    calls.append(scan)
    return source() + 1


def make_masks(calls, scan, readers):
    calls.append(scan)
    return {reader: volume_of(value) for reader, value in readers.items()}


def recipes(calls, values):
    return {scan: partial(make, calls, scan, value) for scan, value in values.items()}


def values_in(dataset):
    loaded = {key: sitk.GetArrayFromImage(volume()) for key, volume in dataset.load().items()}
    assert all((voxels == voxels[0, 0, 0]).all() for voxels in loaded.values())
    return {key: int(voxels[0, 0, 0]) for key, voxels in loaded.items()}


def visible_files(folder):
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(f) for f in files if not any(part.startswith(".") for part in f.parts))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cohort" / "masks"


@pytest.fixture
def dataset(folder):
    return VolumeFolderDataset(path=str(folder))


@pytest.fixture
def calls():
    return Calls()


def test_recipes_are_saved_and_load_lazily_in_order_by_absolute_path(dataset, calls, folder):
    dataset.save(recipes(calls, {"b": 2, "a": 1}))
    loaded = dataset.load()
    assert loaded == {scan: LazyVolume(str(folder / f"{scan}.nii.gz")) for scan in ("a", "b")}
    assert list(loaded) == ["a", "b"]
    assert values_in(dataset) == {"a": 1, "b": 2}
    assert visible_files(folder) == ["a.nii.gz", "b.nii.gz"]


def test_volumes_themselves_are_saved_every_time(dataset):
    dataset.save({"a": volume_of(1)})
    dataset.save({"a": volume_of(2)})
    assert values_in(dataset) == {"a": 2}


def test_a_class_can_be_a_recipes_function(dataset):
    dataset.save({"a": partial(sitk.Image, 4, 3, 2, sitk.sitkUInt8)})
    assert dataset.load()["a"]().GetSize() == (4, 3, 2)


def test_the_suffix_tells_the_format(folder, calls):
    dataset = VolumeFolderDataset(path=str(folder), filename_suffix=".nrrd")
    dataset.save(recipes(calls, {"a": 1}))
    assert (folder / "a.nrrd").read_bytes().startswith(b"NRRD")
    assert values_in(dataset) == {"a": 1}


def test_exists_only_when_complete(dataset, calls, folder):
    assert not dataset.exists()
    folder.mkdir(parents=True)
    assert not dataset.exists()
    dataset.save(recipes(calls, {"a": 1}))
    assert dataset.exists()


def test_what_stands_is_not_made_again(dataset, calls):
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    assert sorted(calls) == ["a", "b"]


def test_a_changed_parameter_remakes_exactly_what_it_changes(dataset, calls):
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    calls.clear()
    dataset.save(recipes(calls, {"a": 1, "b": 3, "c": 4}))
    assert sorted(calls) == ["b", "c"]
    assert values_in(dataset) == {"a": 1, "b": 3, "c": 4}


def test_a_changed_input_file_remakes_exactly_its_scan(tmp_path, dataset, calls):
    sources = {scan: tmp_path / f"{scan}.nii.gz" for scan in ("a", "b")}
    for path in sources.values():
        sitk.WriteImage(volume_of(1), str(path))
    asked = {
        scan: partial(make_from, calls, scan, LazyVolume(str(path)))
        for scan, path in sources.items()
    }
    dataset.save(asked)
    calls.clear()
    sitk.WriteImage(volume_of(5), str(sources["b"]))
    dataset.save(asked)
    assert calls == ["b"]
    assert values_in(dataset) == {"a": 2, "b": 6}


def test_an_absent_input_file_is_named_with_the_scan(tmp_path, dataset, calls):
    absent = LazyVolume(str(tmp_path / "absent.nii.gz"))
    with pytest.raises(DatasetError, match=r"cohort/masks, scan 'a': .*absent\.nii\.gz"):
        dataset.save({"a": partial(make_from, calls, "a", absent)})


def test_a_deleted_volume_is_refused_and_then_made_again(dataset, calls, folder):
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    (folder / "a.nii.gz").unlink()
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"\['a'\] were deleted .*run the step that makes it"):
        dataset.load()
    calls.clear()
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    assert calls == ["a"]
    assert dataset.exists()


def test_scans_no_longer_asked_for_are_removed_but_only_those_it_made(dataset, calls, folder):
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    sitk.WriteImage(volume_of(9), str(folder / "foreign.nii.gz"))
    dataset.save(recipes(calls, {"a": 1}))
    assert values_in(dataset) == {"a": 1}
    assert visible_files(folder) == ["a.nii.gz", "foreign.nii.gz"]


def test_several_volumes_of_a_scan_are_saved_by_name(dataset, calls, folder):
    readers = {"reader_1": 1, "reader_2": 2}
    dataset.save({"a": partial(make_masks, calls, "a", readers), "b": volume_of(3)})
    assert visible_files(folder) == ["b.nii.gz", "reader_1/a.nii.gz", "reader_2/a.nii.gz"]
    assert values_in(dataset) == {"b": 3, "reader_1/a": 1, "reader_2/a": 2}


@pytest.mark.parametrize("raw", [False, True])
def test_a_name_no_longer_made_is_removed(folder, calls, raw):
    dataset = VolumeFolderDataset(path=str(folder), raw=raw)
    for readers in ({"one": 1, "two": 2}, {"two": 2}):
        dataset.save({"a": partial(make_masks, calls, "a", readers)})
    assert values_in(dataset) == {"two/a": 2}
    assert visible_files(folder) == ["two/a.nii.gz"]


def test_volumes_are_made_at_the_same_time(folder):
    class Barrier(threading.Barrier):
        fingerprint = ""

    both = Barrier(2, timeout=20)

    def wait_for_the_other(scan):
        both.wait()
        return volume_of(1)

    VolumeFolderDataset(path=str(folder), n_jobs=2).save(
        {scan: partial(wait_for_the_other, scan) for scan in ("a", "b")}
    )


def test_two_jobs_make_what_one_makes(tmp_path, calls):
    asked = recipes(calls, {f"scan_{n}": n for n in range(7)})
    for n_jobs in (1, 2):
        VolumeFolderDataset(path=str(tmp_path / str(n_jobs) / "masks"), n_jobs=n_jobs).save(asked)
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "1", tmp_path / "2")
    )
    assert one == two
    assert len(calls) == 14


@pytest.mark.parametrize("raw", [False, True])
def test_an_absent_folder_is_named_with_what_to_do(folder, raw):
    dataset = VolumeFolderDataset(path=str(folder), raw=raw)
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=f"no folder {folder}: run the step .* catalog entry"):
        dataset.load()


def test_a_catalog_makes_it_from_a_factory_pattern(tmp_path, calls):
    catalog = DataCatalog.from_config(
        {
            "{cohort}.consensus_masks": {
                "type": "coala_kedro.datasets.VolumeFolderDataset",
                "path": f"{tmp_path}/{{cohort}}/consensus_masks",
                "n_jobs": 2,
                "metadata": {"kedro-viz": {"layer": "preprocessed"}},
            }
        }
    )
    catalog.save("internal.consensus_masks", recipes(calls, {"a": 1}))
    assert visible_files(tmp_path) == ["internal/consensus_masks/a.nii.gz"]
    assert set(catalog.load("internal.consensus_masks")) == {"a"}
    assert catalog.get("internal.consensus_masks").metadata["kedro-viz"]["layer"] == "preprocessed"
    assert not catalog.exists("external.consensus_masks")
    assert str(tmp_path) in repr(catalog.get("internal.consensus_masks"))


def test_volumes_are_regrouped_by_scan():
    first, second = LazyVolume("1"), LazyVolume("2")
    assert by_scan({"reader_2/a": second, "reader_1/a": first, "reader_1/b": first}) == {
        "a": {"reader_1": first, "reader_2": second},
        "b": {"reader_1": first},
    }


def test_a_volume_in_no_subfolder_cannot_be_regrouped():
    with pytest.raises(DatasetError, match=r"'a' lies in no subfolder: move it to <name>/a"):
        by_scan({"a": LazyVolume("a.nii.gz"), "reader_1/a": LazyVolume(str(Path("b")))})


def test_it_foresees_which_volumes_it_would_make_again(dataset, calls):
    dataset.save(recipes(calls, {"a": 1, "b": 2}))
    held, again = dataset.foresee(recipes(calls, {"a": 1, "b": 3, "c": 4}))
    assert again == ["b", "c"]
    loaded = dataset.load()
    assert held["a"].fingerprint == loaded["a"].fingerprint
    assert held["b"].path == loaded["b"].path
    assert held["b"].fingerprint not in (held["a"].fingerprint, loaded["b"].fingerprint)
    assert calls == ["a", "b"], "nothing was made for it"
    assert values_in(dataset) == {"a": 1, "b": 2}
