"""A checkpoint that would run code is refused before nnU-Net loads it."""

import io
import json
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from lazily import torch

from coala_kedro.weights import (
    CheckpointFormatError,
    UnsafeCheckpointError,
    check_plans,
    check_weights,
)

pytestmark = pytest.mark.xdist_group("torch")


class Payload:
    """Pickled, it is a call of `os.system`."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


class Evaluated(Payload):
    def __reduce__(self):
        return eval, (f"__import__('pathlib').Path({str(self.mark)!r}).touch()",)


def checkpoint(**more):
    """As stock nnU-Net 2 writes it."""
    network = torch.nn.Conv3d(1, 2, 3)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True)
    network(torch.ones(1, 1, 3, 3, 3)).sum().backward()
    optimiser.step()
    return {
        "network_weights": OrderedDict(network.state_dict()),
        "optimizer_state": optimiser.state_dict(),
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": [np.float64(0.5), np.float32(0.25)],
            "dice_per_class_or_region": [[np.float64("nan"), np.float64(1)]],
            "train_losses": [np.float32(-0.1)],
            "epoch": [np.int64(3)],
            "curve": np.arange(3.0),
        },
        "_best_ema": np.float64(0.7),
        "current_epoch": 3,
        "init_args": {"plans": {"a": [1, 2]}, "configuration": "3d", "fold": 0,
                      "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    } | more  # fmt: skip


def test_a_checkpoint_of_nnunet_passes(tmp_path):
    torch.save(checkpoint(), tmp_path / "checkpoint_final.pth")
    check_weights(tmp_path / "checkpoint_final.pth")


def test_a_checkpoint_of_numpy_1_passes(tmp_path):
    """NumPy 1 had the same things elsewhere."""
    path = tmp_path / "checkpoint_final.pth"
    torch.save(checkpoint(), path)
    rewritten = tmp_path / "numpy_1.pth"
    with zipfile.ZipFile(path) as read, zipfile.ZipFile(rewritten, "w") as written:
        for name in read.namelist():
            content = read.read(name)
            if name.endswith("data.pkl"):
                assert b"cnumpy._core.multiarray\n" in content
                content = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
            written.writestr(name, content)
    check_weights(rewritten)


def _weights(kind, mark):
    return checkpoint(network_weights=OrderedDict(weight=kind(mark)))


HIDDEN = {
    "as the whole": Payload,
    "in the weights": lambda mark: _weights(Payload, mark),
    "in the optimiser's state": lambda mark: checkpoint(optimizer_state={"state": Payload(mark)}),
    "in the records": lambda mark: checkpoint(logging={"loss": [Evaluated(mark)]}),
    "in the arguments": lambda mark: checkpoint(init_args={"plans": {"x": [Evaluated(mark)]}}),
}


@pytest.mark.parametrize("place", HIDDEN)
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, place):
    mark, path = tmp_path / "was_run", tmp_path / "checkpoint_final.pth"
    torch.save(HIDDEN[place](mark), path)
    with pytest.raises(UnsafeCheckpointError, match=r"(system|eval).*publisher anew") as error:
        check_weights(path)
    assert str(path) in str(error.value)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "nnU-Net's way of loading would have run it"


def _legacy(mark, path):
    torch.save(_weights(Payload, mark), path, _use_new_zipfile_serialization=False)


def _plain(mark, path):
    path.write_bytes(pickle.dumps(Payload(mark)))


def _tar(mark, path):
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Payload(mark))
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _polyglot(mark, path):
    """A pickle first, a sound checkpoint behind it: a zip is read from its end."""
    torch.save(checkpoint(), path)
    path.write_bytes(pickle.dumps(Payload(mark)) + path.read_bytes())


@pytest.mark.parametrize("write", [_legacy, _plain, _tar, _polyglot])
def test_code_in_another_container_is_refused(tmp_path, write):
    mark, path = tmp_path / "was_run", tmp_path / "checkpoint_final.pth"
    write(mark, path)
    with pytest.raises((UnsafeCheckpointError, CheckpointFormatError), match=r"anew"):
        check_weights(path)
    assert not mark.exists()


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_damaged_checkpoint_is_told_as_damaged(tmp_path, share):
    path = tmp_path / "checkpoint_final.pth"
    torch.save(checkpoint(), path)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(CheckpointFormatError, match=r"damaged"):
        check_weights(path)


def test_a_file_that_changes_is_looked_at_again(tmp_path):
    path = tmp_path / "checkpoint_final.pth"
    torch.save(checkpoint(), path)
    check_weights(path)
    torch.save(Payload(tmp_path / "mark"), path)
    with pytest.raises(UnsafeCheckpointError):
        check_weights(Path(path))


def test_a_damaged_record_is_told(tmp_path):
    """Of a type that there is not, torch raises a TypeError; of others an AssertionError."""
    path = tmp_path / "checkpoint_final.pth"
    torch.save(checkpoint(), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"f8", b"R4"))
    with pytest.raises(CheckpointFormatError, match="damaged"):
        check_weights(path)


def plans(**changed):
    """The network of nnU-Net's plans, in what they import."""
    kwargs = {
        "conv_op": "torch.nn.modules.conv.Conv3d", "dropout_op": None,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "nonlin": "torch.nn.LeakyReLU",
    }  # fmt: skip
    name = changed.pop("name", "dynamic_network_architectures.architectures.unet.PlainConvUNet")
    architecture = {"network_class_name": name, "_kw_requires_import": [*kwargs]}
    architecture["arch_kwargs"] = kwargs | changed
    older = {"UNet_class_name": "PlainConvUNet"}
    return {"configurations": {"3d_lowres": older, "3d_fullres": {"architecture": architecture}}}


def test_plans_of_nnunet_pass(tmp_path):
    path = tmp_path / "plans.json"
    path.write_text(json.dumps(plans()))
    check_plans(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"nonlin": "os.system", "nonlin_kwargs": {"command": "touch mark"}},
        {"name": "subprocess.Popen"},
        {"conv_op": "torch.nn.functional.importlib.import_module"},
        {"norm_op": "builtins.exec"},
        {"dropout_op": "torch.nn.LeakyReLU\n"},
    ],
)
def test_plans_that_name_code_are_refused(tmp_path, changed):
    """nnU-Net would call `os.system(command="touch mark")` for an activation."""
    path = tmp_path / "plans.json"
    path.write_text(json.dumps(plans(**changed)))
    with pytest.raises(UnsafeCheckpointError, match=r"names .* from its publisher"):
        check_plans(path)


@pytest.mark.parametrize("text", ["[]", '{"configurations": {"a": {"architecture": 1}}}'])
def test_what_is_no_plans_is_told(tmp_path, text):
    path = tmp_path / "plans.json"
    path.write_text(text)
    with pytest.raises(CheckpointFormatError, match="copy it anew"):
        check_plans(path)
