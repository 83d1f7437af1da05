"""What the catalog's files hold after a save that failed: what they held before."""

import pandas as pd
import pytest
from kedro.framework.project import settings
from kedro.io import DatasetError
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import CSVDataset, ExcelDataset
from kedro_datasets.text import TextDataset as KedroTextDataset
from matplotlib.figure import Figure

from coala_kedro.catalog import WholeFileCatalog
from coala_kedro.datasets import (
    OptionalTableDataset,
    PictureDataset,
    TableDataset,
    TextDataset,
    VolumeFolderDataset,
)
from coala_kedro.disk import DiskFullError

TABLE = pd.DataFrame({"scan_id": [f"INT{k:04d}" for k in range(20)]})
NOISE = pd.DataFrame({"scan_id": [f"{k**9:x}{k**7:x}" for k in range(4000)]})


def picture(n_inches):
    return Figure(figsize=(n_inches, n_inches))


SMALL_AND_LARGE = {
    "table.csv": (TableDataset, {}, TABLE, NOISE),
    "somebody_elses.csv": (CSVDataset, {}, TABLE, NOISE),
    "optional.csv": (OptionalTableDataset, {"columns": ["scan_id"]}, TABLE, NOISE),
    "table.xlsx": (ExcelDataset, {}, TABLE, NOISE),
    "folds.json": (JSONDataset, {}, {"a": 1}, {"a": [*range(40_000)]}),
    "report.html": (TextDataset, {}, "<p>", "<p>" * 50_000),
    "picture.png": (PictureDataset, {"save_args": {"dpi": 100}}, picture(1), picture(30)),
}


def one_file(folder, name):
    kind, options, *_ = SMALL_AND_LARGE[name]
    dataset = kind(filepath=str(folder / name), **options)
    return WholeFileCatalog(datasets={"it": dataset}), folder / name


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of zipfile
@pytest.mark.parametrize("name", SMALL_AND_LARGE)
def test_a_full_disk_leaves_the_file_of_before(disk_of, name):
    *_, small, large = SMALL_AND_LARGE[name]
    catalog, path = one_file(disk_of(40), name)
    catalog.save("it", small)
    before = path.read_bytes()
    with pytest.raises(
        (DiskFullError, DatasetError),
        match=rf"disk of {path.parent} is full: {name} needs .* and .* are free",
    ):
        catalog.save("it", large)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [name]
    disk_of(10_000)
    catalog.save("it", large)
    assert path.stat().st_size > len(before)
    assert catalog.exists("it")
    assert catalog.load("it") is not None


@pytest.mark.parametrize(
    ("kind", "args", "text"),
    [
        (KedroTextDataset, {"open_args_save": {"encoding": "latin-1"}}, "Dice ≥ 0.8"),
        (TextDataset, {}, "\udcff"),
    ],
)
def test_a_text_that_cannot_be_encoded_leaves_the_file_of_before(tmp_path, kind, args, text):
    dataset = kind(filepath=str(tmp_path / "r.md"), fs_args=args)
    catalog = WholeFileCatalog(datasets={"card": dataset})
    catalog.save("card", "Dice 0.8")
    with pytest.raises(DatasetError, match="codec can't encode"):
        catalog.save("card", "x" * 100_000 + text)
    assert catalog.load("card") == "Dice 0.8"
    assert [path.name for path in tmp_path.iterdir()] == ["r.md"]


def test_what_writes_by_itself_or_elsewhere_is_left_to_it(tmp_path):
    catalog = WholeFileCatalog.from_config(
        {
            "folder": {"type": VolumeFolderDataset, "path": str(tmp_path / "masks")},
            "remote": {"type": TextDataset, "filepath": "memory://bucket/report.html"},
            "plots": {"type": PictureDataset, "filepath": str(tmp_path / "plots")},
            "values": {"type": "MemoryDataset"},
        }
    )
    catalog.save("folder", {})
    catalog.save("remote", "<p>")
    catalog.save("plots", {"one.png": picture(1)})
    catalog.save("values", 1)
    assert catalog.exists("folder")
    assert catalog.load("remote") == "<p>"
    assert (tmp_path / "plots" / "one.png").is_file()
    assert catalog.load("values") == 1


def test_the_study_runs_with_it(project):
    assert settings.DATA_CATALOG_CLASS is WholeFileCatalog
