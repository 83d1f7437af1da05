"""Where a hospital's files lie: here, or in a bucket or on a server that fsspec can reach.

A location is a local path or a URL (`s3://`, `gs://`, `abfs://`, `sftp://`, ...) of a file, or of a
folder whose own files belong together. What is remote is used through a private copy, which is
complete or not there at all, and is removed after use.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

import fsspec

from coala_kedro.disk import DiskFullError, room_in
from coala_kedro.fingerprint import file_fingerprint, fingerprint
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.text_headers import data_files, named_in_header
from coala_kedro.sources.patience import GIVE_UP_AFTER_S, refuse_absent_bucket, with_limits
from coala_kedro.temporary import temporary_folder

WAITS_S = (1, 3, 9)
"""Before a download is tried again."""

_MARKS = (
    "md5Hash", "ETag", "etag", "checksum", "mtime", "LastModified", "last_modified", "created",
)  # fmt: skip
"""What filesystems call the thing that changes with a file's content, the surest first."""

_MAX_HEADER_BYTES = 1 << 20
_DETACHED_HEADERS = (".mhd", ".nhdr")

logger = logging.getLogger(__name__)

T = TypeVar("T")
Infos = dict[str, dict[str, Any]]


class DownloadError(VolumeError):
    """A remote file could not be had; it says nothing of what the file holds."""


def local_path(location: str) -> Path | None:
    """The path of a local location, `file://` included; None for a remote one."""
    if location.startswith(("file://", "local://")):
        return Path(location.partition("://")[2])
    return None if "://" in location else Path(location)


def check_location(location: str) -> None:
    """Check what can be checked of a location without looking there.

    Raises:
        VolumeError: A URL has a password in it, or its kind is unknown or needs a package that is
            not installed.
    """
    if local_path(location) is not None:
        return
    url = urlsplit(location)
    if url.password:
        raise VolumeError("A password in a URL would be logged: give it under `credentials`.")
    try:
        fsspec.get_filesystem_class(url.scheme)
    except (ImportError, ValueError) as error:
        raise VolumeError(f"{location} cannot be opened: {error}.") from None


def open_storage(
    location: str, storage_options: Mapping[str, Any], title: str = ""
) -> tuple[Any, str]:
    """Open the filesystem of a remote location; some connect at once.

    Args:
        location: URL.
        storage_options: As fsspec takes them for this kind of URL: credentials and the like.
        title: What messages call it, if not by its location.

    Returns:
        The fsspec filesystem, and the location as it is called there.

    Raises:
        DownloadError: It could not be opened, though it was tried several times.
    """
    return retried(
        location,
        lambda: fsspec.core.url_to_fs(location, **with_limits(location, storage_options)),
        title,
    )


@contextmanager
def fetched(location: str, storage_options: Mapping[str, Any], title: str = "") -> Iterator[Path]:
    """Have a file or folder at a local path for a while.

    Args:
        location: Local path or URL; of a folder, only the files that lie directly in it count. A
            detached header (`.mhd`, `.nhdr`) brings its data file along.
        storage_options: As `open_storage` takes them.
        title: What messages call it, if not by its location.

    Yields:
        A local path as it is; of anything else the path of a copy, which is removed afterwards.
            Copies lie in a folder of their own, closed to other users, in the system's folder for
            temporary files (`TMPDIR`).

    Raises:
        DownloadError: There is no such file or folder, it may not be read, or it could not be
            downloaded whole although it was tried several times.
    """
    path = local_path(location)
    if path is not None:
        yield path
        return
    with temporary_folder("coala_download_") as cache:
        yield _download(location, storage_options, cache, title)


def content_fingerprint(location: str, storage_options: Mapping[str, Any], title: str = "") -> str:
    """Fingerprint of what a location holds, wherever it lies.

    Local files are fingerprinted by their content; of a folder, by the contents of its files,
    whatever they are called. Remote ones are not downloaded for it: their sizes and what the
    storage says of their contents (checksum or ETag, else the time they were changed) count.

    Returns:
        The fingerprint; of what is local and cannot be read, an error's name: whoever reads it is
            told, and it changes as soon as it can be read.

    Raises:
        DownloadError: As `fetched`.
    """
    path = local_path(location)
    if path is not None:
        try:
            files = _local_files(path)
            prints = sorted(file_fingerprint(file) for file in files)
        except OSError as error:
            return type(error).__name__
        return prints[0] if files == [path] else fingerprint(prints)
    fs, place = open_storage(location, storage_options, title)
    infos = retried(location, lambda: _remote_files(fs, place), title)
    return fingerprint(sorted(_mark(info) for info in infos.values()))


def retried(location: str, action: Callable[[], T], title: str = "") -> T:
    """Do something with a remote location, again if it fails.

    Args:
        location: URL.
        action: What to do.
        title: What messages call it, if not by its location: they then name no part of that.

    Raises:
        DownloadError: It failed every time, or in a way that the next time would not mend.
    """
    shown, reason, begun = title or location, "", time.monotonic()
    for wait_s in (*WAITS_S, 0):
        try:
            return action()
        except (FileNotFoundError, PermissionError, ImportError, TypeError, DiskFullError) as error:
            reason = _told(error, location, shown)
            break
        # Every storage has errors of its own for a broken connection, few of them an OSError.
        except Exception as error:
            reason = _told(error, location, shown)
            logger.warning("%s: %s", shown, reason)
            if time.monotonic() - begun > GIVE_UP_AFTER_S:
                break
            time.sleep(wait_s)
    raise DownloadError(
        f"{shown} cannot be downloaded ({reason}). Is it there, do the "
        "entry's credentials allow to read it, does the network stand, and has "
        f"{tempfile.gettempdir()} (TMPDIR) room for it?"
    ) from None


def _told(error: Exception, location: str, title: str) -> str:
    """The error; without its text where that has a part of a location that nobody is to see."""
    hidden = location.removeprefix(title.removesuffix("…")).split("/")
    if title != location and any(part in str(error) for part in filter(None, hidden)):
        return type(error).__name__
    return f"{type(error).__name__}: {error}"


def _download(location: str, storage_options: Mapping[str, Any], cache: Path, title: str) -> Path:
    fs, place = open_storage(location, storage_options, title)
    infos = retried(location, lambda: _remote_files(fs, place), title)
    folder = cache / (PurePosixPath(place).name or "files")
    folder.mkdir()
    retried(location, lambda: _get_missing(fs, infos, folder), title)
    return folder / PurePosixPath(place).name if place in infos else folder


def _get_missing(fs: Any, infos: Infos, folder: Path) -> None:
    """Download what is not in the folder yet; what comes whole is kept though the rest fail."""
    missing = {name: info for name, info in infos.items() if not (folder / _base(name)).exists()}
    # Of its own: a transfer that was given up may still be writing to the earlier one.
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="partial_"))
    short = {}
    needed = sum(info["size"] for info in missing.values())
    try:
        with room_in(partial, "the download", lambda: needed):
            fs.get([*missing], [str(partial / _base(name)) for name in missing])
    finally:
        for name, info in missing.items():
            file = partial / _base(name)
            n_bytes = file.stat().st_size if file.exists() else 0
            if n_bytes == info["size"]:
                os.replace(file, folder / file.name)
            else:
                short[name] = n_bytes
    for name, n_bytes in short.items():
        raise OSError(f"only {n_bytes} of {infos[name]['size']} bytes of a file came")


def _remote_files(fs: Any, place: str) -> Infos:
    """What the storage says of a file, or of the files of a folder, by their names there."""
    fs.invalidate_cache(place)  # or it may tell what was there an hour ago
    try:
        info = fs.info(place)
    except FileNotFoundError:
        refuse_absent_bucket(fs, place)
        raise
    if info["type"] == "directory":
        listed = {info["name"]: info for info in fs.ls(place, detail=True)}
        return {n: i for n, i in listed.items() if i["type"] == "file" and not _hidden(n)}
    files = {place: info}
    if place.lower().endswith(_DETACHED_HEADERS):
        for data_file in named_in_header(fs.cat_file(place, 0, _MAX_HEADER_BYTES)):
            beside = str(PurePosixPath(place).parent / data_file)
            # Elsewhere it would not be found again; without it the volume is told to be unreadable.
            if data_file == _base(data_file) and fs.isfile(beside):
                files[beside] = fs.info(beside)
    return files


def _local_files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.iterdir() if file.is_file() and not _hidden(file.name)]
    if path.suffix.lower() in _DETACHED_HEADERS:
        beside = (path.parent / name for name in data_files(path)) if path.is_file() else ()
        return [path, *(file for file in beside if file.is_file())]
    return [path]


def _base(name: str) -> str:
    return PurePosixPath(name).name


def _hidden(name: str) -> bool:
    return _base(name).startswith(".")


def _mark(info: Mapping[str, Any]) -> str:
    told = next((info[key] for key in _MARKS if info.get(key)), None)
    if told is None:
        told = sorted((key, str(value)) for key, value in info.items() if key != "name")
    return f"{info['size']} {told}"
