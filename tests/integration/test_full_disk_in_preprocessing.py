"""Preprocessing on disks that are full for real: what it makes at last is what it always makes."""

import pandas as pd
import pytest
import SimpleITK as sitk
from hospital import Hospital
from kedro.config import OmegaConfigLoader
from kedro.framework.project import pipelines, settings
from kedro.io import DatasetError, MemoryDataset
from kedro.runner import SequentialRunner

from coala_kedro.catalog import WholeFileCatalog
from coala_kedro.disk import DiskFullError
from coala_kedro.imaging.files import read_whole_volume
from coala_kedro.pipelines.preprocessing.checks import Screening
from coala_kedro.pipelines.preprocessing.reader_consensus import ConsensusMethod

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("full_disk")]

TYPES = {"params:screening": Screening, "params:consensus": ConsensusMethod}
MADE = ("scans", "reader_masks", "consensus_masks", "organ_masks", "label_maps")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    hospital = Hospital(folder / "internal").build()
    hospital.table.to_csv(folder / "internal" / "scans.csv", index=False)
    for scan in (folder / "internal" / "scans").iterdir():  # another format: it is not linked
        image = sitk.ReadImage(str(scan))
        scan.unlink()
        sitk.WriteImage(image, str(scan).replace(".nii.gz", ".nrrd"))
    return folder


@pytest.fixture(scope="module")
def preprocess(project, raw):
    """Runs the preprocessing of one cohort with its data in a folder."""
    arguments = settings.CONFIG_LOADER_ARGS | {"default_run_env": "demo"}

    def run(data):
        loader = OmegaConfigLoader(
            str(project / "conf"),
            env="demo",
            runtime_params={"data": str(data), "raw": str(raw)},
            **arguments,
        )
        entries = loader["catalog"]
        entries["{cohort}.raw_scans"]["filename_suffix"] = ".nrrd"
        catalog = WholeFileCatalog.from_config(entries)
        pipeline = pipelines["preprocessing"].only_nodes_with_namespaces(["internal"])
        for name in pipeline.datasets():
            if name.startswith("params:"):
                value = loader["parameters"]
                for key in name.removeprefix("params:").split("."):
                    value = value[key]
                typed = TYPES[name].model_validate(value) if name in TYPES else value
                catalog[name] = MemoryDataset(typed)
        SequentialRunner().run(pipeline, catalog)
        return catalog

    return run


def results(catalog, data):
    volumes = {
        f"{name} {key}": sitk.Hash(read_whole_volume(volume.path))
        for name in MADE
        for key, volume in catalog.load(f"internal.{name}").items()
    }
    tables = {
        str(path.relative_to(data)): pd.read_csv(path).to_csv()
        for path in sorted(data.rglob("*.csv"))
    }
    assert len(volumes) > 10
    assert len(tables) > 5
    return volumes, tables


@pytest.fixture(scope="module")
def right(preprocess, tmp_path_factory):
    """What a run makes that is never stopped, and the room that it takes."""
    data = tmp_path_factory.mktemp("data")
    made = results(preprocess(data), data)
    files = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    used = sum(4096 * (1 + path.stat().st_size // 4096) for path in files)
    return made, used // 1024


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_preprocessing_that_meets_a_full_disk_goes_on(preprocess, right, disk_of, share):
    made, used_kb = right
    data = disk_of(int(share * used_kb))
    with pytest.raises(
        (DatasetError, DiskFullError), match=rf"The disk of {data}\S* is full: .* are free"
    ):
        preprocess(data)
    disk_of(10 * used_kb)
    assert results(preprocess(data), data) == made
