import json
import shutil

import pytest
import SimpleITK as sitk
from kedro.io import DataCatalog, DatasetError

from coala_kedro.anatomy import LABELS
from coala_kedro.datasets import TrainedModelDataset
from coala_kedro.nnunet.model import open_model

LOWRES = "nnUNetTrainer__nnUNetPlans__3d_lowres"
CASCADE = "nnUNetTrainer__nnUNetPlans__3d_cascade_fullres"


@pytest.fixture
def folder(tmp_path):
    """A stock cascade of two folds, as nnU-Net leaves it."""
    for stage in (LOWRES, CASCADE):
        for fold in (0, 1):
            checkpoint = tmp_path / stage / f"fold_{fold}" / "checkpoint_final.pth"
            checkpoint.parent.mkdir(parents=True)
            checkpoint.write_text(f"{stage} {fold}")
        (tmp_path / stage / "plans.json").write_text("{}")
        (tmp_path / stage / "dataset.json").write_text(
            json.dumps({"labels": LABELS}), encoding="utf-8"
        )
    return tmp_path


@pytest.fixture
def dataset(folder):
    return TrainedModelDataset(path=str(folder))


def test_a_model_trained_elsewhere_is_opened_without_a_card(dataset, folder):
    model = dataset.load()
    assert model.folds == (0, 1)
    assert model.path == folder
    assert model.stage_folder("cascade") == folder / CASCADE


def test_a_model_without_a_card_is_told_by_its_files(dataset, folder):
    before = dataset.load().fingerprint
    assert dataset.load().fingerprint == before
    (folder / CASCADE / "fold_1" / "checkpoint_final.pth").write_text("other weights")
    assert dataset.load().fingerprint != before


def test_saving_writes_the_card_and_the_model_is_known_by_it(dataset, folder):
    assert not dataset.exists()
    dataset.save(open_model(folder, "what trained it"))
    assert dataset.exists()
    assert dataset.load() == open_model(folder, "what trained it")
    card = json.loads((folder / "model.json").read_text())
    assert card == {"fingerprint": "what trained it", "folds": [0, 1]}


def test_a_model_of_another_folder_is_not_saved(dataset, folder, tmp_path):
    model = open_model(folder, "mark")
    elsewhere = TrainedModelDataset(path=str(tmp_path / "elsewhere"))
    with pytest.raises(
        DatasetError, match=f"trained in {folder}, and the catalog entry says .*else"
    ):
        elsewhere.save(model)
    assert not elsewhere.exists()


def test_a_model_without_a_stage_is_refused(dataset, folder):
    (folder / CASCADE / "plans.json").unlink()
    with pytest.raises(DatasetError, match=f"no trained model in .*{CASCADE}: it needs plans.json"):
        dataset.load()


def test_stages_of_different_folds_are_refused(dataset, folder):
    (folder / CASCADE / "fold_1" / "checkpoint_final.pth").unlink()
    with pytest.raises(DatasetError, match=r"folds \(0, 1\) of lowres and \(0,\) of cascade"):
        dataset.load()


def test_a_model_of_other_labels_is_refused(dataset, folder):
    (folder / LOWRES / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "x": 1}}), encoding="utf-8"
    )
    with pytest.raises(
        DatasetError, match=r"has the labels \{'background': 0, 'x': 1\}; a label map"
    ):
        dataset.load()


def relabel(folder, labels):
    for stage in (LOWRES, CASCADE):
        (folder / stage / "dataset.json").write_text(
            json.dumps({"labels": labels}), encoding="utf-8"
        )


def test_labels_of_our_names_are_translated_by_name(dataset, folder):
    same = dataset.load()
    assert dict(same.labels) == {k: k for k in range(1, 14)}
    permuted = {name: (id_ * 5) % 14 for name, id_ in LABELS.items()}
    relabel(folder, permuted)
    model = dataset.load()
    assert dict(model.labels) == {permuted[name]: LABELS[name] for name in LABELS if LABELS[name]}
    assert model.fingerprint != same.fingerprint


FOREIGN = {"background": 0, "tumour": 1, "hepar": 2, "lung": 3, "spleen": 4}
MEANT = {1: "crlm", "hepar": "liver", "lung": "background", 4: "spleen"}


def test_labels_of_other_names_mean_what_the_entry_says(folder):
    relabel(folder, FOREIGN)
    model = TrainedModelDataset(path=str(folder), labels=MEANT).load()
    assert model.labels == ((1, 13), (2, LABELS["liver"]), (3, 0), (4, LABELS["spleen"]))
    other = TrainedModelDataset(path=str(folder), labels=MEANT | {"lung": "colon"}).load()
    assert other.fingerprint != model.fingerprint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lung": None}, r"Say what \['lung'\] are.*\{13: crlm\}"),
        ({"lung": "lungs"}, r"Say what \['lung'\] are"),
        ({4: "colon"}, "says that spleen is colon"),
        ({1: "colon"}, "One of its labels must be crlm"),
        ({"lung": "crlm"}, "One of its labels must be crlm"),
    ],
)
def test_labels_without_a_clear_meaning_are_refused(folder, change, complaint):
    relabel(folder, FOREIGN)
    labels = {name: ours for name, ours in (MEANT | change).items() if ours}
    with pytest.raises(DatasetError, match=complaint):
        TrainedModelDataset(path=str(folder), labels=labels).load()


def describe(folder, stages=(LOWRES, CASCADE), plans=None, **told):
    for stage in stages:
        (folder / stage / "plans.json").write_text(json.dumps(plans or {}), encoding="utf-8")
        (folder / stage / "dataset.json").write_text(
            json.dumps({"labels": LABELS} | told), encoding="utf-8"
        )


def validated(folder, orientation, fold=0, scan_id="a"):
    """The label map that nnU-Net's trainer writes of a validation scan, as the scan lay."""
    path = folder / LOWRES / f"fold_{fold}" / "validation" / f"{scan_id}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(sitk.Image(3, 4, 5, sitk.sitkUInt8), orientation), str(path))
    shutil.copytree(path.parent, folder / CASCADE / f"fold_{fold}/validation", dirs_exist_ok=True)


def test_the_orientation_a_model_was_trained_in_is_what_its_files_tell(dataset, folder):
    as_before = dataset.load()
    assert as_before.orientation == "LPS"
    describe(folder, orientation="LPS")
    ours = TrainedModelDataset(path=str(folder)).load()
    assert ours.orientation == "LPS"
    describe(folder, plans={"image_reader_writer": "NibabelIOWithReorient"})
    assert dataset.load().orientation == "RAS"
    describe(folder, plans={"image_reader_writer": "SimpleITKIO"})
    assert dataset.load().orientation == "LPS"
    validated(folder, "LAS")
    assert dataset.load().orientation == "LAS"


def test_what_a_model_predicts_depends_on_its_orientation(dataset, folder):
    dataset.save(open_model(folder, "mark"))
    assert dataset.load().fingerprint == "mark"
    turned = TrainedModelDataset(path=str(folder), orientation="LAS").load()
    assert turned.orientation == "LAS"
    assert turned.fingerprint != "mark"
    assert TrainedModelDataset(path=str(folder), orientation="LPS").load().fingerprint == "mark"


def test_a_model_that_was_trained_in_another_orientation_is_the_same_however_often_it_is_saved(
    dataset, folder
):
    validated(folder, "LAS")
    collected = open_model(folder, "what trained it")
    assert (collected.orientation, collected.former_fingerprint) == ("LAS", "what trained it")
    for _ in range(2):
        dataset.save(collected)
        assert dataset.load() == collected


@pytest.mark.parametrize("given", ["las", "LLS", "LP", "AXIAL"])
def test_what_is_no_orientation_is_refused_with_an_example(folder, given):
    with pytest.raises(DatasetError, match=f"orientation '{given}'.*such as LPS or RAS"):
        TrainedModelDataset(path=str(folder), orientation=given).load()


def test_an_entry_that_contradicts_the_model_is_refused(folder):
    describe(folder, plans={"image_reader_writer": "NibabelIOWithReorient"})
    with pytest.raises(DatasetError, match=r"was trained in the orientation RAS.* gives LPS"):
        TrainedModelDataset(path=str(folder), orientation="LPS").load()
    describe(folder, stages=[LOWRES], orientation="LPS")
    with pytest.raises(DatasetError, match="orientations LPS and RAS: they are no cascade"):
        TrainedModelDataset(path=str(folder)).load()


def test_a_model_of_scans_that_lay_in_several_orientations_wants_a_word(dataset, folder):
    validated(folder, "LAS")
    validated(folder, "LPS", fold=1)
    with pytest.raises(DatasetError, match="lay in several orientations, LAS, LPS: train it anew"):
        dataset.load()
    assert TrainedModelDataset(path=str(folder), orientation="LAS").load().orientation == "LAS"


def test_stages_of_different_labels_are_no_cascade(dataset, folder):
    swapped = LABELS | {"liver": LABELS["colon"], "colon": LABELS["liver"]}
    (folder / LOWRES / "dataset.json").write_text(json.dumps({"labels": swapped}), encoding="utf-8")
    with pytest.raises(DatasetError, match="have different labels"):
        dataset.load()


def test_a_model_of_regions_is_refused(dataset, folder):
    relabel(folder, {"background": 0, "liver": [1, 2], "crlm": 2})
    with pytest.raises(DatasetError, match="regions"):
        dataset.load()


def test_a_model_of_another_trainer_and_of_one_fold_is_opened(dataset, folder):
    for stage in (LOWRES, CASCADE):
        shutil.rmtree(folder / stage / "fold_0")
        (folder / stage / "fold_1").rename(folder / stage / "fold_all")
        (folder / stage).rename(folder / stage.replace("nnUNetPlans", "nnUNetResEncUNetLPlans"))
    model = dataset.load()
    assert model.folds == ("all",)
    assert "ResEnc" in model.stage_folder("lowres").name
    shutil.copytree(model.stage_folder("lowres"), folder / LOWRES)
    with pytest.raises(DatasetError, match=r"needs one folder such as nnUNet.*and has \['nnUNet"):
        dataset.load()


def test_a_catalog_makes_it_from_a_factory_pattern(folder):
    catalog = DataCatalog.from_config(
        {
            "{model}.model": {
                "type": "coala_kedro.datasets.TrainedModelDataset",
                "path": f"{folder.parent}/{{model}}",
            }
        }
    )
    assert catalog.load(f"{folder.name}.model").folds == (0, 1)
