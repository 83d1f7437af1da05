"""One outline is drawn again: what depends on it is made again, and the run says so first."""

import re

import numpy as np
import pytest
import SimpleITK as sitk

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

PIPELINES = ("--pipelines", "preprocessing,teacher,pseudolabel,student")
SAYS = r"hooks: (\w+): (.*)"


@pytest.fixture
def study(miniature, tmp_path):
    return miniature.copy(
        tmp_path / "data",
        *("01_raw", "02_intermediate", "03_primary", "05_model_input", "06_models"),
        *("07_model_output", "08_reporting"),
    )


def draw_again(study, scan):
    """A reader saw no lesion in the lower half of a scan, after all."""
    file = study.data / "01_raw" / "internal" / "readers" / "reader_1" / f"{scan}.nii.gz"
    mask = sitk.ReadImage(str(file))
    voxels = sitk.GetArrayFromImage(mask)
    outlined = np.flatnonzero(voxels.any(axis=(1, 2)))
    voxels[: int(np.median(outlined))] = 0
    again = sitk.GetImageFromArray(voxels)
    again.CopyInformation(mask)
    sitk.WriteImage(again, str(file))


def made_at(study, folder):
    return {
        str(path.relative_to(study.data)): path.stat().st_mtime_ns
        for path in (study.data / folder).rglob("*")
        if path.name.endswith((".nii.gz", "checkpoint_final.pth")) and "superseded" not in str(path)
    }


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def outlines(scan):
    kinds = ("consensus_masks", "label_maps")
    return {f"03_primary/internal/{kind}/{scan}.nii.gz" for kind in kinds}


def announced(log):
    """What the run said of its trainings, and that it said so before its first node."""
    before, node, _ = log.partition("Running node:")
    assert node
    said = dict(re.findall(SAYS, before))
    assert said.keys() == {"teacher", "student"}
    return said


def test_what_depends_on_a_label_is_made_again_and_nothing_else(study, tmp_path):
    folders = ("03_primary", "06_models", "05_model_input/pseudo_label_maps")
    before = {folder: made_at(study, folder) for folder in folders}

    # A test scan is in no training.
    draw_again(study, "INT007_pre")
    log = study.run(*PIPELINES, log=tmp_path / "test_scan.log")
    assert {*announced(log).values()} == {"of 10 trainings 10 stand."}
    after = {folder: made_at(study, folder) for folder in folders}
    assert changed(before["03_primary"], after["03_primary"]) == {
        f"03_primary/internal/{kind}/INT007_pre.nii.gz"
        for kind in ("consensus_masks", "label_maps")
    }
    assert not changed(before["06_models"], after["06_models"])

    # A scan that is trained on is in every fold of both models, for training or for validation.
    draw_again(study, "INT002_pre")
    log = study.run(*PIPELINES, log=tmp_path / "training_scan.log")
    for model, said in announced(log).items():
        assert said.startswith("of 10 trainings 10 will be trained AGAIN (")
        names = re.search(r"AGAIN \((.*)\), for", said).group(1).split(", ")
        assert {*names} == {
            f"{model}.fold_{k}.{stage}" for k in range(5) for stage in ("lowres", "cascade")
        }
        assert "for these change: label map of INT002_pre" in said
    last = {folder: made_at(study, folder) for folder in folders}
    assert changed(after["03_primary"], last["03_primary"]) == {
        f"03_primary/internal/{kind}/INT002_pre.nii.gz"
        for kind in ("consensus_masks", "label_maps")
    }
    assert changed(after["06_models"], last["06_models"]) == {*after["06_models"]}
    assert sum(name.endswith("checkpoint_final.pth") for name in last["06_models"]) == 20
    assert len([*(study.data / "06_models").rglob("superseded/fold_*")]) == 20
    assert "made from other inputs (prepared)" in log
