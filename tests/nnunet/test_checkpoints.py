import errno
import io
import os
import subprocess
from pathlib import Path

import pytest
from lazily import torch

from coala_kedro.nnunet.checkpoints import CheckpointError, load_newest, write_checkpoint
from coala_kedro.weights import UnsafeCheckpointError

pytestmark = pytest.mark.xdist_group("torch")

FINAL, LATEST, PREVIOUS = (f"checkpoint_{name}.pth" for name in ("final", "latest", "previous"))


def content(epoch):
    buffer = io.BytesIO()
    torch.save({"epoch": epoch, "weights": torch.arange(50_000.0) + epoch}, buffer)
    return buffer.getvalue()


def newest(folder):
    loaded = []

    def load(path):
        found = torch.load(path, weights_only=False)
        assert torch.equal(found["weights"], torch.arange(50_000.0) + found["epoch"])
        loaded.append(found["epoch"])

    return load_newest(folder, load), *loaded


def test_the_latest_checkpoint_keeps_the_one_before(tmp_path):
    assert newest(tmp_path) == ("",)
    for epoch in (1, 2, 3):
        write_checkpoint(tmp_path / LATEST, content(epoch))
    assert newest(tmp_path) == (LATEST, 3)
    (tmp_path / LATEST).unlink()
    assert newest(tmp_path) == (PREVIOUS, 2)
    write_checkpoint(tmp_path / FINAL, content(4))
    assert newest(tmp_path) == (FINAL, 4)


def damage(path, how):
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        middle = path.stat().st_size // 2
        path.write_bytes(path.read_bytes()[:middle] + b"\xff" * 8 + path.read_bytes()[middle + 8 :])


@pytest.mark.parametrize("how", ["truncated", "empty", "overwritten"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, capsys, how):
    for epoch in (1, 2):
        write_checkpoint(tmp_path / LATEST, content(epoch))
    damage(tmp_path / LATEST, how)
    assert newest(tmp_path) == (PREVIOUS, 1)
    assert f"{LATEST} cannot be read" in capsys.readouterr().out
    damage(tmp_path / PREVIOUS, how)
    with pytest.raises(CheckpointError, match=f"{LATEST}.*{PREVIOUS}.*Delete them"):
        newest(tmp_path)


def raises(error):
    def load(path):
        raise error

    return load


def out_of_gpu_memory(path):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def on_a_gpu_that_is_not_there(path):
    torch.load(path, map_location="cuda:99")


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (out_of_gpu_memory, "too little memory"),
        (raises(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")), "memo"),
        (raises(RuntimeError("Found no NVIDIA driver on your system.")), "NVIDIA.*nvidia-smi"),
        (raises(OSError(errno.ESTALE, os.strerror(errno.ESTALE))), "Stale file handle.*nothing is"),
        (raises(OSError(errno.EIO, os.strerror(errno.EIO))), "Input/output error.*nothing is lost"),
        (raises(KeyError("network_weights")), "network_weights.*no checkpoint of this training"),
        (on_a_gpu_that_is_not_there, "CUDA.*nvidia-smi"),
    ],
)
def test_a_whole_checkpoint_that_cannot_be_loaded_is_not_called_damaged(tmp_path, load, told):
    """To fall back to the one before would lose epochs in silence."""
    for epoch in (1, 2):
        write_checkpoint(tmp_path / LATEST, content(epoch))
    with pytest.raises(CheckpointError, match=told) as error:
        load_newest(tmp_path, load)
    assert LATEST in str(error.value)
    assert "Delete" not in str(error.value)
    assert newest(tmp_path) == (LATEST, 2), "all is there as before"


def test_a_checkpoint_with_code_stops_a_training_that_would_go_on_from_it(tmp_path):
    """Whoever may write where checkpoints lie could run what they like on the GPU server."""
    write_checkpoint(tmp_path / LATEST, content(1))
    write_checkpoint(tmp_path / LATEST, content(2))
    torch.save({"optimizer_state": Path.exists}, tmp_path / LATEST)
    with pytest.raises(UnsafeCheckpointError, match=rf"{LATEST} is refused.*Path.exists|getattr"):
        newest(tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: it takes root")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_leaves_what_was_there(small_disk):
    for epoch in (1, 2):
        write_checkpoint(small_disk / LATEST, content(epoch))
    with pytest.raises(CheckpointError, match=r"is full: a checkpoint needs 0\.3 MB and 0\.2 MB"):
        write_checkpoint(small_disk / LATEST, content(3) + bytes(50_000))
    assert newest(small_disk) == (LATEST, 2)
    assert sorted(path.name for path in small_disk.iterdir()) == [LATEST, PREVIOUS]
