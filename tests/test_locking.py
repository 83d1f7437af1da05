import errno
import fcntl
import multiprocessing
import os
import signal

import pytest

from coala_kedro.locking import FolderInUseError, alone_in


def stay(folder, inside):
    with alone_in(folder):
        inside.set()
        signal.pause()


@pytest.fixture
def other(tmp_path):
    """Another process in the folder."""
    context = multiprocessing.get_context("fork")
    inside = context.Event()
    process = context.Process(target=stay, args=(tmp_path / "fold_0", inside))
    process.start()
    assert inside.wait(30)
    yield process
    process.kill()
    process.join()


def test_a_folder_in_use_is_refused_by_the_name_of_who_uses_it(tmp_path, other):
    with (
        pytest.raises(FolderInUseError, match=rf"fold_0 is in use by process {other.pid} on"),
        alone_in(tmp_path / "fold_0", patience_s=0.3),
    ):
        pass


def test_the_folder_of_a_killed_process_is_free(tmp_path, other):
    other.kill()
    other.join()
    with alone_in(tmp_path / "fold_0", patience_s=0):
        assert str(os.getpid()) in (tmp_path / "fold_0" / ".lock").read_text()


def test_a_folder_is_free_again_after_use(tmp_path):
    for _ in range(2):
        with alone_in(tmp_path / "fold_0", patience_s=0):
            pass
    with alone_in(tmp_path / "fold_0"), alone_in(tmp_path / "fold_1", patience_s=0):
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with alone_in(tmp_path / "fold_0", patience_s=0):
        assert "no locks" in caplog.text
