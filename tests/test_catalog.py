"""Every catalog entry keeps the rules of the house."""

import graphlib
import re
from pathlib import Path

import pytest
import yaml
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset

from coala_kedro.cohort import N_FOLDS

FOLDERS_OF_LAYER = {
    "raw": {"raw"},
    "preprocessed": {"02_intermediate", "03_primary", "08_reporting"},
    "{model}": {"05_model_input", "06_models", "08_reporting"},
    "pseudo labels": {"05_model_input", "07_model_output", "08_reporting"},
    "reporting": {"07_model_output", "08_reporting"},
}
WITHOUT_PATH = {"totalsegmentator"}
CATALOGS = sorted(Path(__file__).parents[1].glob("conf/*/catalog*.yml"))


@pytest.fixture(scope="module")
def entries():
    """Of every catalog, by environment and name: an entry, and the text of its catalog."""
    texts = {path: path.read_text(encoding="utf-8") for path in CATALOGS}
    return {
        f"{path.parent.name}:{name}": (name, entry, text)
        for path, text in texts.items()
        for name, entry in yaml.safe_load(text).items()
        if not name.startswith("_")
    }


def layer_of(entry):
    return entry["metadata"]["kedro-viz"]["layer"]


def test_an_entry_has_a_known_layer(entries):
    assert len(entries) > 60
    assert {layer_of(entry) for _, entry, _ in entries.values()} <= FOLDERS_OF_LAYER.keys()


def test_an_entry_says_what_it_is(entries):
    for where, (name, _, text) in entries.items():
        (line,) = re.findall(rf'^(.*)\n"?{re.escape(name)}"?:$', text, flags=re.MULTILINE)
        assert line.startswith("# "), f"write a comment above {where}"


def test_an_entry_lies_under_the_folder_of_its_layer(entries):
    for where, (name, entry, _) in entries.items():
        if entry.get("segmenter") in WITHOUT_PATH:
            continue
        path = entry.get("path") or entry["filepath"]
        folders = FOLDERS_OF_LAYER[layer_of(entry)]
        if folders == {"raw"}:
            assert path.startswith("${_raw}/{cohort}/" if "{cohort}" in name else "${_raw}/"), where
        else:
            root, folder, *_ = path.split("/")
            assert root == "${_data}", where
            assert folder in folders, where


@pytest.fixture(scope="module", params=["base", "demo"])
def catalog(request, conf):
    loader = conf(request.param)
    return DataCatalog.from_config(loader["catalog"])


def datasets():
    return {name for name in pipelines["__default__"].datasets() if not name.startswith("params:")}


def test_every_dataset_of_the_study_is_catalogued(catalog):
    for name in datasets():
        dataset = catalog.get(name)
        assert dataset is not None, name
        assert not isinstance(dataset, MemoryDataset), name


def test_the_synthetic_hospital_is_catalogued_in_the_demo(conf):
    catalog = DataCatalog.from_config(conf("demo")["catalog"])
    for name in pipelines["phantom"].all_outputs():
        assert not isinstance(catalog.get(name), MemoryDataset | None), name


def test_layers_do_not_cycle(catalog):
    layer = {name: catalog.get(name).metadata["kedro-viz"]["layer"] for name in datasets()}
    above = graphlib.TopologicalSorter()
    for node in pipelines["__default__"].nodes:
        for output in node.outputs:
            for name in node.inputs:
                if not name.startswith("params:") and layer[name] != layer[output]:
                    above.add(layer[output], layer[name])
    order = [*above.static_order()]
    assert order == ["raw", "preprocessed", "teacher", "pseudo labels", "student", "reporting"]


@pytest.mark.parametrize("name", ["figure_3", "worst_scans_outlined", "report"])
def test_pictures_of_patients_stay_where_they_are(conf, name):
    entry = conf("base")["catalog"][name]
    assert entry["metadata"]["kedro-viz"]["preview"] is False
    assert "mlflow" not in entry["metadata"]


def test_the_paper_is_the_default(conf):
    parameters = conf("base")["parameters"]
    assert parameters["protocol"]["epochs"] == 1000
    assert parameters["protocol"]["optimiser"]["initial_learning_rate"] == 0.05
    assert parameters["consensus"]["method"] == "staple"
    assert N_FOLDS == 5


@pytest.mark.xdist_group("torch")
def test_base_leaves_all_else_to_nnunet(conf):
    """Our documented numbers against nnU-Net's own source."""
    import inspect

    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    protocol = conf("base")["parameters"]["protocol"]
    source = inspect.getsource(nnUNetTrainer.__init__)
    own = {
        name: float(value)
        for name, value in re.findall(r"self\.(\w+) = ([\d.e-]+)$", source, flags=re.MULTILINE)
    }
    assert protocol["iterations_per_epoch"] == own["num_iterations_per_epoch"]
    assert protocol["validation_iterations_per_epoch"] == own["num_val_iterations_per_epoch"]
    assert protocol["foreground_oversampling"] == own["oversample_foreground_percent"]
    assert protocol["optimiser"]["weight_decay"] == own["weight_decay"]
    assert protocol["checkpoint_every_epochs"] == own["save_every"]
    assert f"momentum={protocol['optimiser']['momentum']}" in inspect.getsource(
        nnUNetTrainer.configure_optimizers
    )
