"""Which device nnU-Net computes on, and how; the GPU is pretended."""

import os
import sys
import threading
from pathlib import Path

import pytest
from own_processes import end_waiting

from coala_kedro.models.parameters import Compute
from coala_kedro.nnunet import process
from coala_kedro.nnunet.process import in_own_process

pytestmark = pytest.mark.slow

# Of a build without CUDA; `available` makes it one that can use a GPU.
TORCH = """
def set_num_threads(threads):
    pass
__version__ = "2.0"
class backends:
    class cudnn:
        benchmark = False
class cuda:
    available, capability = False, (8, 0)
    is_available = classmethod(lambda cls: cls.available)
    get_device_capability = classmethod(lambda cls: cls.capability)
    @staticmethod
    def init():
        raise AssertionError("Torch not compiled with CUDA enabled")
"""


@pytest.fixture(autouse=True)
def light_torch(tmp_path, monkeypatch):
    """A module of that name in this process and those that it starts; a GPU may be added."""
    folder = tmp_path / "light"
    folder.mkdir()
    (folder / "torch.py").write_text(TORCH)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in ("CUDA_VISIBLE_DEVICES", "nnUNet_compile", "CC"):
        monkeypatch.delenv(name, raising=False)
    import torch

    yield torch
    end_waiting()
    del sys.modules["torch"]


def benchmarked_on():
    import torch

    return torch.backends.cudnn.benchmark and os.getenv("CUDA_VISIBLE_DEVICES")


def test_two_processes_have_a_gpu_each(light_torch, monkeypatch):
    file = Path(light_torch.__file__)
    file.write_text(file.read_text().replace("= False, (8, 0)", "= True, (8, 0)"))
    light_torch.cuda.available = True
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    compute, gpus = Compute(device="cuda", processes=2), []
    threads = [
        threading.Thread(target=lambda: gpus.append(in_own_process(compute, True, benchmarked_on)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {*gpus} == {"4", "7"}


def test_a_gpu_that_torch_cannot_use_is_no_reason_to_train_on_a_cpu(light_torch, monkeypatch):
    monkeypatch.setattr(process, "_installed_gpus", lambda: 1)
    for device in ("auto", "cuda"):
        with pytest.raises(process.DeviceError, match=r"not compiled with CUDA.*device.* to cpu"):
            process.choose_device(Compute(device=device))
    assert process.choose_device(Compute(device="cpu")) == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert process.choose_device(Compute()) == "cpu", "nobody is to see it"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(process, "_installed_gpus", lambda: 0)
    assert process.choose_device(Compute()) == "cpu"
    with pytest.raises(process.DeviceError):
        process.choose_device(Compute(device="cuda"))
    light_torch.cuda.available = True
    assert process.choose_device(Compute()) == "cuda"


def test_networks_are_compiled_where_that_can_be_done(light_torch, monkeypatch, tmp_path):
    def compiled(device="cuda", wanted="auto"):
        return process.compiles(Compute(compile=wanted), device)

    monkeypatch.setenv("PATH", str(tmp_path))
    assert not compiled(), "no compiler"
    compiler = tmp_path / "gcc"
    compiler.write_text("")
    compiler.chmod(0o755)
    assert compiled()
    assert not compiled("cpu")
    assert compiled("cpu", "on")
    assert not compiled(wanted="off")
    monkeypatch.setattr(light_torch.cuda, "capability", (6, 1))
    assert not compiled(), "an old card"
    monkeypatch.setenv("nnUNet_compile", "T")
    assert compiled(), "who asks for it gets it"
    monkeypatch.setattr(light_torch.cuda, "capability", (8, 0))
    monkeypatch.setenv("nnUNet_compile", "f")
    assert not compiled()
    monkeypatch.delenv("nnUNet_compile")
    monkeypatch.setenv("CC", "no_such_compiler")
    assert not compiled()
