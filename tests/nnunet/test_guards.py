import json
import re
from pathlib import Path

import pytest
from lazily import torch

from coala_kedro.nnunet.guards import (
    GuardError,
    check_disk,
    check_gpu_memory,
    check_handed_on,
    check_preprocessed,
    checkpoint_bytes,
    hand_on,
)
from coala_kedro.nnunet.workspace import preprocessed_dataset

SCANS = [f"scan_{k}" for k in range(8)]


@pytest.fixture
def prepared(tmp_path):
    """Preprocessed scans as nnU-Net leaves them; the names of the data are the plans'."""
    data = {"3d_lowres": "low", "3d_fullres": "full"}
    folder = preprocessed_dataset(tmp_path)
    for identifier in data.values():
        (folder / identifier).mkdir(parents=True)
        for scan in SCANS:
            for end in (".b2nd", "_seg.b2nd", ".pkl"):
                (folder / identifier / f"{scan}{end}").touch()
    configurations = {name: {"data_identifier": identifier} for name, identifier in data.items()}
    (folder / "nnUNetPlans.json").write_text(json.dumps({"configurations": configurations}))
    return tmp_path


@pytest.mark.parametrize("file", ["low/scan_2.b2nd", "full/scan_2_seg.b2nd", "full/scan_2.pkl"])
def test_a_scan_that_is_not_preprocessed_for_a_stage_is_named(prepared, file):
    check_preprocessed(prepared, SCANS)
    (preprocessed_dataset(prepared) / file).unlink()
    with pytest.raises(GuardError, match=r"^scan_2 are not preprocessed .*plan_and_preprocess"):
        check_preprocessed(prepared, SCANS)
    check_preprocessed(prepared, [scan for scan in SCANS if scan != "scan_2"])


def test_many_scans_are_counted(prepared):
    for file in (preprocessed_dataset(prepared) / "low").iterdir():
        file.unlink()
    with pytest.raises(GuardError, match=r"^scan_0, .*, scan_4 and 3 more are not"):
        check_preprocessed(prepared, SCANS)


@pytest.fixture
def lowres(tmp_path):
    """Two lowres folds that handed on four scans each, and where."""
    folds, place = [tmp_path / "fold_0", tmp_path / "fold_1"], tmp_path / "predicted_next_stage"
    place.mkdir()
    for fold, scans in zip(folds, (SCANS[:4], SCANS[4:]), strict=True):
        for scan in scans:
            (place / f"{scan}.b2nd").write_text(f"{fold.name} {scan}")
        hand_on(fold, place, scans)
    return folds, place


def test_what_the_lowres_folds_wrote_is_what_the_cascade_wants(lowres):
    check_handed_on(*lowres, SCANS)


@pytest.mark.parametrize("fault", [Path.unlink, lambda file: file.write_text("older")])
def test_what_is_missing_or_of_another_training_is_refused(lowres, fault):
    fault(lowres[1] / "scan_6.b2nd")
    with pytest.raises(GuardError, match=r"predictions of scan_6 in .*missing or not what"):
        check_handed_on(*lowres, SCANS)


def test_a_lowres_fold_that_is_not_bound_counts_for_nothing(lowres):
    (first, _), place = lowres
    with pytest.raises(GuardError, match=r"predictions of scan_4, scan_5, scan_6, scan_7 in"):
        check_handed_on([first], place, SCANS)


def test_a_gpu_needs_the_memory_of_the_plans():
    check_gpu_memory(8.0, 8_500_000_000)
    with pytest.raises(GuardError, match=r"about 8\.0 GB of GPU memory and 7\.5 GB are free"):
        check_gpu_memory(8.0, 7_500_000_000)


def test_a_disk_needs_room_for_the_checkpoints(tmp_path):
    check_disk(tmp_path, 1000)
    with pytest.raises(GuardError, match=re.escape(f"{tmp_path} needs about 1000000.000 GB")):
        check_disk(tmp_path, 10**15)


@pytest.mark.xdist_group("torch")
@pytest.mark.parametrize(("optimiser", "copies"), [("sgd", 2), ("adam", 3)])
def test_checkpoints_are_as_large_as_torch_writes_them(tmp_path, optimiser, copies):
    network = torch.nn.Conv3d(32, 64, 3)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    trained = kinds[optimiser](
        network.parameters(), **({"momentum": 0.99} if optimiser == "sgd" else {})
    )
    network(torch.zeros(1, 32, 3, 3, 3)).sum().backward()
    trained.step()
    torch.save([network.state_dict(), trained.state_dict()], tmp_path / "checkpoint")
    written = (tmp_path / "checkpoint").stat().st_size
    assert checkpoint_bytes(network, optimiser) == pytest.approx(5 * written, rel=0.05)
    assert copies * (32 * 64 * 27 + 64) * 4 * 5 == checkpoint_bytes(network, optimiser)
