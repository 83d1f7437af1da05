import contextlib
import os
import stat
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from faulty_storage import FaultyStorage

from coala_kedro.imaging.files import VolumeError
from coala_kedro.sources import find_volumes, storage
from coala_kedro.sources.storage import (
    DownloadError,
    content_fingerprint,
    fetched,
    local_path,
)

URL = "faulty://hospital/scan.nii.gz"
CONTENT = bytes(range(100))


class TestFetched:
    @pytest.mark.parametrize("prefix", ["", "file://"])
    def test_a_local_file_is_left_where_it_is(self, tmp_path, cache, prefix):
        with fetched(f"{prefix}{tmp_path}/scan 1#.nii", {}) as path:
            assert path == tmp_path / "scan 1#.nii"
            assert list(cache.iterdir()) == []

    def test_a_remote_file_is_here_for_a_while_and_for_us_alone(self, memory, cache):
        memory.pipe("/hospital/a/scan.nii.gz", b"voxels")
        with fetched("memory://hospital/a/scan.nii.gz", {}) as path:
            assert path.name == "scan.nii.gz"
            assert path.read_bytes() == b"voxels"
            (private,) = cache.iterdir()
            assert private in path.parents
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert list(cache.iterdir()) == []

    def test_a_remote_folder_brings_its_own_files(self, memory, cache):
        files = {"1.dcm": b"one", "2.dcm": b"two"}
        others = {".DS_Store": b"junk", "older/1.dcm": b"old"}
        for name, content in (files | others).items():
            memory.pipe(f"/hospital/CT_1/{name}", content)
        with fetched("memory://hospital/CT_1", {}) as path:
            assert path.name == "CT_1"
            assert {file.name: file.read_bytes() for file in path.iterdir()} == files

    def test_the_copy_is_removed_after_an_error(self, memory, cache):
        memory.pipe("/hospital/scan.nii.gz", b"voxels")
        with contextlib.suppress(KeyboardInterrupt), fetched("memory://hospital/scan.nii.gz", {}):
            raise KeyboardInterrupt
        assert list(cache.iterdir()) == []

    @pytest.mark.parametrize(
        ("header", "name"),
        [
            (b"ObjectType = Image\nElementDataFile = scan.raw\n", "scan.mhd"),
            (b"NRRD0004\ndata file: scan.raw\n\n", "scan.nhdr"),
            (b"NRRD0004\r\ndatafile: scan.raw\r\n\r\n", "scan.NHDR"),
        ],
    )
    def test_a_header_brings_its_data_file(self, memory, cache, header, name):
        memory.pipe(f"/hospital/{name}", header)
        memory.pipe("/hospital/scan.raw", b"voxels")
        with fetched(f"memory://hospital/{name}", {}) as path:
            assert path.read_bytes() == header
            assert path.with_name("scan.raw").read_bytes() == b"voxels"

    @pytest.mark.parametrize("data_file", ["LOCAL", "../../secret", "/etc/passwd", "absent.raw"])
    def test_a_header_brings_nothing_from_elsewhere(self, memory, cache, data_file):
        memory.pipe("/secret", b"secret")
        memory.pipe("/hospital/scans/scan.mhd", f"ElementDataFile = {data_file}".encode())
        with fetched("memory://hospital/scans/scan.mhd", {}) as path:
            assert [file.name for file in path.parent.iterdir()] == ["scan.mhd"]
        memory.rm("/secret")

    def test_what_is_absent_is_told_at_once(self, faulty):
        told = r"faulty://hospital/gone\.nii.*FileNotFound"
        gone = fetched("faulty://hospital/gone.nii", {})
        with pytest.raises(DownloadError, match=told), gone:
            pass

    def test_an_empty_file_is_a_file(self, memory, cache):
        memory.pipe("/hospital/scan.nii.gz", b"")
        with fetched("memory://hospital/scan.nii.gz", {}) as path:
            assert path.read_bytes() == b""


class TestInterruptedDownloads:
    @pytest.mark.parametrize("fault", [OSError("reset"), TimeoutError(), RuntimeError(), "short"])
    def test_are_started_again(self, faulty, cache, fault):
        FaultyStorage.faults[:] = [fault, fault]
        with fetched(URL, {}) as path:
            assert path.read_bytes() == CONTENT
        assert FaultyStorage.n_downloads == 3
        assert list(cache.iterdir()) == []

    @pytest.mark.parametrize(
        ("fault", "told"), [(OSError("reset"), "OSError: reset"), ("short", "only 50 of 100 bytes")]
    )
    def test_are_given_up_and_never_read(self, faulty, cache, fault, told):
        FaultyStorage.faults[:] = [fault] * 10
        with pytest.raises(DownloadError, match=told) as error, fetched(URL, {}):
            pytest.fail("half a file was handed out")
        assert isinstance(error.value, VolumeError)
        assert URL in str(error.value)
        assert f"{cache} (TMPDIR)" in str(error.value)
        assert FaultyStorage.n_downloads == 3
        assert list(cache.iterdir()) == []

    def test_of_a_forbidden_file_are_not_repeated(self, faulty):
        FaultyStorage.faults[:] = [PermissionError("Forbidden")]
        with pytest.raises(DownloadError, match=r"Forbidden.*credentials"), fetched(URL, {}):
            pass
        assert FaultyStorage.n_downloads == 1

    def test_keep_the_files_of_a_folder_that_came_whole(self, faulty):
        for name in "abc":
            faulty.pipe(f"/hospital/CT/{name}.dcm", name.encode() * 10)
        FaultyStorage.faults[:] = [None, "short"]
        with fetched("faulty://hospital/CT", {}) as path:
            assert sorted(file.read_bytes() for file in path.iterdir()) == [
                b"aaaaaaaaaa", b"bbbbbbbbbb", b"cccccccccc",
            ]  # fmt: skip
        assert FaultyStorage.n_downloads == 4

    def test_by_a_server_that_hangs_up(self, cache, monkeypatch):
        monkeypatch.setattr(storage, "WAITS_S", (0.001, 0.001))
        with (
            server_that_hangs_up(times=2) as (url, served),
            fetched(f"{url}/scan.nii.gz", {}) as path,
        ):
            assert path.read_bytes() == CONTENT
        assert served == [50, 50, 100]


@contextlib.contextmanager
def server_that_hangs_up(times):
    served = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            served.append(50 if len(served) < times else 100)
            self.wfile.write(CONTENT[: served[-1]])
            self.close_connection = True

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", served
        server.shutdown()
        thread.join()


class TestFingerprint:
    def test_of_a_local_folder_is_its_files_contents(self, tmp_path):
        def series(folder, **files):
            (tmp_path / folder).mkdir()
            for name, content in files.items():
                (tmp_path / folder / name).write_text(content)
            return content_fingerprint(str(tmp_path / folder), {})

        one = series("one", a="first", b="second")
        assert one == series("renamed", x="second", y="first")
        assert one != series("changed", a="first", b="seconD")
        assert one != series("shorter", a="first")
        (tmp_path / "one" / ".DS_Store").write_text("junk")
        assert one == content_fingerprint(str(tmp_path / "one"), {})

    def test_of_a_local_file_is_its_content_whenever_it_was_written(self, tmp_path):
        paths = [tmp_path / name for name in ("a.nrrd", "b.nrrd")]
        for path in paths:
            path.write_text("same")
        os.utime(paths[0], (0, 0))
        one, copy = (content_fingerprint(str(path), {}) for path in paths)
        assert one == copy == content_fingerprint(f"file://{paths[0]}", {})
        paths[0].write_text("else")  # of the same size
        assert content_fingerprint(str(paths[0]), {}) != one

    def test_of_a_header_covers_its_data_file(self, tmp_path, memory):
        prints = set()
        for content in ("one", "two"):
            (tmp_path / "scan.mhd").write_text("ElementDataFile = scan.raw\n")
            (tmp_path / "scan.raw").write_text(content)
            memory.put(str(tmp_path / "scan.mhd"), "/hospital/scan.mhd")
            memory.put(str(tmp_path / "scan.raw"), "/hospital/scan.raw")
            prints.add(content_fingerprint(str(tmp_path / "scan.mhd"), {}))
            prints.add(content_fingerprint("memory://hospital/scan.mhd", {}))
        assert len(prints) == 4

    def test_of_a_file_that_cannot_be_read_changes_when_it_can(self, tmp_path):
        link = tmp_path / "scan.nii.gz"
        link.symlink_to(tmp_path / "annexed")
        before = content_fingerprint(str(link), {})
        (tmp_path / "annexed").write_text("voxels")
        assert content_fingerprint(str(link), {}) != before

    def test_of_a_remote_file_changes_with_it_and_costs_no_download(self, faulty):
        before = content_fingerprint(URL, {})
        assert before == content_fingerprint(URL, {})
        faulty.pipe("/hospital/scan.nii.gz", CONTENT[::-1])
        assert content_fingerprint(URL, {}) != before
        assert FaultyStorage.n_downloads == 0

    @pytest.mark.parametrize(
        ("changed", "differs"),
        [
            ({"ETag": "b"}, True),
            ({"size": 2}, True),
            ({"LastModified": "tomorrow", "name": "moved/scan.nii.gz"}, False),
        ],
    )
    def test_of_a_remote_file_is_its_size_and_checksum(self, monkeypatch, changed, differs):
        info = {"name": "b/scan.nii.gz", "size": 1, "ETag": "a", "LastModified": "today"}
        one, other = (storage._version(told) for told in (info, info | changed))
        assert (one != other) == differs

    def test_of_a_storage_without_checksums_or_times(self):
        info = {"name": "b/scan.nii.gz", "size": 1, "revision": 3}
        assert storage._version(info) == storage._version(info | {"name": "moved"})
        assert storage._version(info) != storage._version(info | {"revision": 4})


class TestLocation:
    @pytest.mark.parametrize(
        ("location", "path"),
        [
            ("data/a#b.nii", "data/a#b.nii"),
            ("file:///data/a.nii", "/data/a.nii"),
            ("s3://a/b", None),
            ("memory://a", None),
        ],
    )
    def test_local_or_not(self, location, path):
        assert (None if local_path(location) is None else str(local_path(location))) == path


@pytest.mark.parametrize("fault", [OSError, FileNotFoundError])
def test_neither_log_nor_error_name_a_patient_of_a_remote_folder(
    faulty, monkeypatch, caplog, fault
):
    faulty.pipe("/hospital/s1_Mueller.nii.gz", b"")
    (volume,) = find_volumes("faulty://hospital", "{scan_id}_*.nii.gz").values()

    def refuse(fs, place, **_):
        raise fault(f"no {place}")

    monkeypatch.setattr(FaultyStorage, "info", refuse)
    for use in (volume.whole, lambda: volume.fingerprint):
        with pytest.raises(
            DownloadError, match="faulty://hospital/… cannot be downloaded"
        ) as error:
            use()
        assert "Mueller" not in str(error.value)
    assert "Mueller" not in caplog.text


@pytest.mark.parametrize("free_kb", [4, 60])
def test_a_download_that_meets_a_full_disk_is_told_at_once(faulty, disk_of, monkeypatch, free_kb):
    content = bytes(range(250)) * 400
    faulty.pipe("/hospital/scan.nii.gz", content)
    disk = disk_of(free_kb)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    told = rf"DiskFullError: The disk of {disk}/.* is full: the download needs 0\.1 MB and .* free"
    with (
        pytest.raises(DownloadError, match=told),
        fetched("faulty://hospital/scan.nii.gz", {}),
    ):
        pass
    assert FaultyStorage.n_downloads == 1, "it is not tried again"
    assert not list(disk.iterdir())
    disk_of(1000)
    with fetched("faulty://hospital/scan.nii.gz", {}) as path:
        assert path.read_bytes() == content
