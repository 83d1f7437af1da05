"""Buckets that are absent, closed, or do not answer; over real connections."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from coala_kedro.sources import DownloadError, find_volumes, storage
from coala_kedro.sources.storage import fetched

pytestmark = pytest.mark.slow

LIMIT_S = 120
KEYS = {"key": "testing", "secret": "testing"}


@pytest.fixture(scope="module")
def bucket():
    """Options for a real S3 interface with the bucket `hospital`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", "us-east-1", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="hospital")
    client.put_object(Bucket="hospital", Key="scans/a.nii.gz", Body=b"voxels")
    yield KEYS | {"endpoint_url": url}
    server.stop()


def test_a_bucket_is_found(bucket):
    found = find_volumes("s3://hospital/scans", "{scan_id}.nii.gz", storage_options=bucket)
    assert list(found) == ["a"]


def test_an_absent_bucket_is_told_as_such(bucket):
    with pytest.raises(DownloadError, match="there is no such bucket: hospitl"):
        find_volumes("s3://hospitl/scans", "{scan_id}.nii.gz", storage_options=bucket)
    absent = fetched("s3://hospitl/scans/a.nii.gz", bucket)
    with pytest.raises(DownloadError, match="there is no such bucket: hospitl"), absent:
        pass


def test_an_absent_file_of_a_bucket_is_told_as_such(bucket):
    absent = fetched("s3://hospital/scans/b.nii.gz", bucket)
    with pytest.raises(DownloadError, match=r"FileNotFound.*Is it there"), absent:
        pass


@contextlib.contextmanager
def listener(answer=lambda connection: None):
    """A port that takes connections; what it then does with them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    threading.Thread(target=answer, args=(held[-1],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def half_an_answer(connection):
    """As when the network is cut in the middle of a file."""
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_storage_that_falls_silent_is_given_up_with_words(monkeypatch, scheme):
    """With shorter limits; a black hole with the real ones is below."""
    monkeypatch.setattr(storage, "SILENCE_S", 0.3)
    monkeypatch.setattr(storage, "WAITS_S", (0.01,))
    begun = time.monotonic()
    with listener(half_an_answer) as address:
        url = "s3://hospital/scans/a.nii.gz" if scheme == "s3" else f"http://{address}/a.nii.gz"
        options = KEYS | {"endpoint_url": f"http://{address}"} if scheme == "s3" else {}
        with pytest.raises(DownloadError, match="does the network stand"), fetched(url, options):
            pass
    assert time.monotonic() - begun < 30


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_black_hole_is_given_up_within_two_minutes(scheme):
    begun = time.monotonic()
    with listener() as address:
        url = "s3://hospital/a.nii.gz" if scheme == "s3" else f"http://{address}/a.nii.gz"
        options = KEYS | {"endpoint_url": f"http://{address}"} if scheme == "s3" else {}
        with pytest.raises(DownloadError, match="does the network stand"), fetched(url, options):
            pass
    assert time.monotonic() - begun < LIMIT_S


KILLED = """
import sys, time
from coala_kedro.temporary import temporary_folder
with temporary_folder("coala_download_") as folder:
    (folder / "scan.nii.gz").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(60)
"""


def started(temporary):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        env=os.environ
        | {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def test_what_a_killed_run_had_downloaded_is_removed_by_the_next(memory, cache):
    memory.pipe("/hospital/scan.nii.gz", b"voxels")
    killed, left = started(cache)
    living, in_use = started(cache)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert os.path.isdir(left)
    with fetched("memory://hospital/scan.nii.gz", {}) as path:
        assert path.read_bytes() == b"voxels"
        assert not os.path.exists(left)
    assert os.path.isfile(f"{in_use}/scan.nii.gz"), "another run's downloads are its own"
    living.terminate()
    living.wait()
    for process in (killed, living):
        process.stdout.close()
