"""nnU-Net on disks that are full for real: nothing that it could not write counts as done."""

import contextlib
import os
from pathlib import Path
from unittest import mock

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk
from listeners import nobody_listens

from coala_kedro.datasets import MadeFolder, MadeFolderDataset
from coala_kedro.disk import DiskFullError
from coala_kedro.fingerprint import fingerprint
from coala_kedro.imaging.files import read_whole_volume
from coala_kedro.models.parameters import Compute
from coala_kedro.nnunet.planning import prepare
from coala_kedro.nnunet.protocol import Optimiser, Planning, Protocol
from coala_kedro.nnunet.training import train_fold
from coala_kedro.nnunet.training_set import Case, Fold, TrainingSet
from coala_kedro.nnunet.workspace import preprocessed_dataset
from coala_kedro.nnunet.written import WrittenError, check_written

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("full_disk")]

SCANS = [f"scan_{k}" for k in range(4)]
FOLD = Fold(train=SCANS[2:], validation=SCANS[:2])
PLANNING = Planning(
    gpu_memory_target_gb=0.004, base_features=4, max_features=16, intensity_samples=10_000
)
PROTOCOL = Protocol(
    planning=PLANNING,
    optimiser=Optimiser(name="adam"),
    epochs=1,
    iterations_per_epoch=1,
    validation_iterations_per_epoch=1,
)
COMPUTE = Compute(
    device="cpu", torch_threads=1, augmentation_workers=0, pool="threads", pool_workers=2, warm=True
)


def volume(seed, voxels=None):
    rng = np.random.default_rng(seed)
    made = sitk.GetImageFromArray(
        rng.integers(-200, 300, (32, 48, 48)).astype(np.int16) if voxels is None else voxels
    )
    made.SetSpacing((2.0, 2.0, 2.0))
    return made


def label_map(seed):
    labels = np.zeros((32, 48, 48), np.uint8)
    for k in range(1, 14):
        z, y, x = np.random.default_rng([seed, k]).integers(0, 26, 3)
        labels[z : z + 6, y : y + 9, x : x + 9] = k
    return volume(0, labels)


@pytest.fixture(scope="module")
def training_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    cases = {}
    for k, scan in enumerate(SCANS):
        sitk.WriteImage(volume(k), str(folder / f"{scan}.nii.gz"), useCompression=True)
        sitk.WriteImage(label_map(k), str(folder / f"{scan}_seg.nii.gz"), useCompression=True)
        cases[scan] = Case(
            patient_id=scan,
            source="manual",
            scan=folder / f"{scan}.nii.gz",
            label_map=folder / f"{scan}_seg.nii.gz",
            content=(scan, scan),
        )
    return TrainingSet(cases=cases)


def fill(folder, training_set):
    MadeFolderDataset(path=str(folder)).save(_Prepare(training_set=training_set))


class _Prepare:
    """A recipe: nnU-Net's planning and preprocessing of a training set."""

    fingerprint = "prepare"

    def __init__(self, training_set):
        self.training_set = training_set

    def __call__(self, folder):
        prepare(folder, training_set=self.training_set, planning=PLANNING, compute=COMPUTE)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, training_set):
    folder = tmp_path_factory.mktemp("prepared") / "nnunet"
    fill(folder, training_set)
    return MadeFolderDataset(path=str(folder)).load()


def contents(prepared):
    """What is preprocessed, by file."""
    folder = preprocessed_dataset(prepared)
    return {
        str(path.relative_to(folder)): blosc2.open(str(path))[:]
        for path in sorted(folder.rglob("*.b2nd"))
    }


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_preprocessing_that_meets_a_full_disk_is_done_again(disk_of, training_set, prepared, share):
    whole = sum(path.stat().st_size for path in prepared.path.rglob("*") if path.is_file())
    folder = disk_of(int(share * whole / 1000)) / "nnunet"
    dataset = MadeFolderDataset(path=str(folder))
    with pytest.raises(
        Exception, match=r"disk of .*nnunet is full: preprocessed data needs .* free"
    ):
        fill(folder, training_set)
    assert not dataset.exists()
    disk_of(50_000)
    fill(folder, training_set)
    again, first = contents(dataset.load().path), contents(prepared.path)
    assert again.keys() == first.keys()
    assert all(np.array_equal(again[name], first[name]) for name in first)


@contextlib.contextmanager
def disk_full_in_the_validation(folder):
    """A monitor that fills the disk but for some kB before the last validation."""
    from coala_kedro.nnunet.trainer import FoldTrainer

    validation = FoldTrainer.perform_actual_validation
    room_kb = int((folder.parents[3] / "room_kb").read_text())

    def validate(trainer, save_probabilities):
        free = os.statvfs(folder)
        with (folder.parents[3] / "filler").open("wb") as file:
            file.write(bytes(free.f_bavail * free.f_frsize - room_kb * 1000))
        validation(trainer, save_probabilities)

    with mock.patch.object(FoldTrainer, "perform_actual_validation", validate):
        yield lambda epoch, figures: None


def train(folder, prepared, monitor=nobody_listens):
    train_fold(
        folder,
        prepared=prepared,
        split=FOLD,
        fold=0,
        stage="lowres",
        earlier=[],
        protocol=PROTOCOL,
        compute=COMPUTE,
        monitor=monitor,
    )


@pytest.mark.parametrize("room_kb", [0, 9, 17])
def test_a_validation_that_meets_a_full_disk_is_done_again(disk_of, prepared, room_kb):
    disk = disk_of(60_000)
    (disk / "room_kb").write_text(str(room_kb))
    folder = disk.joinpath(
        "teacher", "Dataset001_CRLM", "nnUNetTrainer__nnUNetPlans__3d_lowres", "fold_0"
    )
    handed_on = folder.parent / "predicted_next_stage" / "3d_cascade_fullres"
    with pytest.raises(DiskFullError, match=r"fold 0: The disk of .*is full: .* needs .* are free"):
        train(folder, prepared, disk_full_in_the_validation)
    assert not (folder / "handed_on.json").exists()
    trained_at = (folder / "checkpoint_final.pth").stat().st_mtime_ns
    (disk / "filler").unlink()
    train(folder, prepared)
    assert (folder / "checkpoint_final.pth").stat().st_mtime_ns == trained_at
    for scan in FOLD.validation:
        read_whole_volume(folder / "validation" / f"{scan}.nii.gz")
        assert blosc2.open(str(handed_on / f"{scan}.b2nd"))[:].ndim == 3


def test_what_nnunet_left_cut_is_named(prepared, tmp_path):
    folder = preprocessed_dataset(prepared.path)
    files = [path for path in folder.rglob("*") if path.suffix in (".b2nd", ".pkl", ".gz", ".json")]
    assert {path.suffix for path in files} == {".b2nd", ".pkl", ".gz", ".json"}
    check_written(files)
    for path in files[:: max(1, len(files) // 12)]:
        cut = tmp_path / path.name
        for n_bytes in (0, path.stat().st_size // 2, path.stat().st_size - 9):
            cut.write_bytes(path.read_bytes()[:n_bytes])
            with pytest.raises(WrittenError, match=f"{path.name} was not written whole"):
                check_written([cut])
    with pytest.raises(WrittenError, match=r"absent\.b2nd was not written whole"):
        check_written([tmp_path / "absent.b2nd"])
    assert isinstance(prepared, MadeFolder)
    assert fingerprint(_Prepare(None)) == prepared.fingerprint
    assert Path(prepared.path).is_absolute()
