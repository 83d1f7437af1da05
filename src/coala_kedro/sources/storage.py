"""Files of a hospital: local ones, and those in a bucket or on a server that fsspec reaches.

A location is a local path or a URL (`s3://`, `gs://`, `abfs://`, `sftp://`, ...) of a file, or of a
folder whose own files belong together. What is remote is used through a private copy, which is
complete or not there at all, and is removed after use.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

import fsspec

from coala_kedro.disk import DiskFullError, room_in
from coala_kedro.fingerprint import file_fingerprint, fingerprint
from coala_kedro.imaging.files import VolumeError
from coala_kedro.imaging.text_headers import data_files, named_in_header
from coala_kedro.temporary import temporary_folder

WAITS_S = (1, 3, 9)
"""Before a download is tried again."""
SILENCE_S = 15
"""A connection that brings nothing for so long is given up. The libraries' own limits are a minute
and more, five times over, or none."""
GIVE_UP_AFTER_S = 45
"""From then on nothing is tried again: with the last try's own limits it is over in two minutes."""

_FINAL = (FileNotFoundError, PermissionError, ImportError, TypeError, DiskFullError)
"""Errors that the next try would meet too."""
_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
_VERSIONS = (
    "md5Hash", "ETag", "etag", "checksum", "mtime", "LastModified", "last_modified", "created",
)  # fmt: skip
"""Names of what changes with a file's content in filesystems, the surest first."""
_MAX_HEADER_BYTES = 1 << 20
_DETACHED_HEADERS = (".mhd", ".nhdr")

logger = logging.getLogger(__name__)

T = TypeVar("T")
Infos = dict[str, dict[str, Any]]
"""Facts of a storage about its files, by their names there."""


class DownloadError(VolumeError):
    """A remote file could not be downloaded; its content is unknown."""


def local_path(location: str) -> Path | None:
    """The path of a local location; None for a remote one.

    Args:
        location: A path, or a URL such as `file:///data` or `s3://bucket/scans`.
    """
    if location.startswith(("file://", "local://")):
        return Path(location.partition("://")[2])
    return None if "://" in location else Path(location)


@contextmanager
def fetched(location: str, storage_options: Mapping[str, Any], title: str = "") -> Iterator[Path]:
    """Download a file or folder for the length of the block; a local one stays where it is.

    Args:
        location: Local path or URL; of a folder, only the files that lie directly in it count. A
            detached header (`.mhd`, `.nhdr`) brings its data file along.
        storage_options: As `Remote` takes them.
        title: As `Remote` takes it.

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
        yield Remote(location, storage_options, title).download(cache)


def content_fingerprint(location: str, storage_options: Mapping[str, Any], title: str = "") -> str:
    """Fingerprint of the content at a location, local or remote.

    Local files are fingerprinted by their content; of a folder, by the contents of its files,
    whatever they are called. Remote ones are not downloaded for it: their sizes and what the
    storage says of their contents (checksum or ETag, else the time they were changed) count.

    Args:
        location: As `fetched` takes it.
        storage_options: As `Remote` takes them.
        title: As `Remote` takes it.

    Returns:
        The fingerprint; of what is local and cannot be read, an error's name: it changes as soon
            as it can be read.

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
    infos = Remote(location, storage_options, title).files()
    return fingerprint(sorted(_version(info) for info in infos.values()))


def _local_files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.iterdir() if file.is_file() and not _hidden(file.name)]
    if path.suffix.lower() in _DETACHED_HEADERS:
        beside = (path.parent / name for name in data_files(path)) if path.is_file() else ()
        return [path, *(file for file in beside if file.is_file())]
    return [path]


class Remote:
    """A remote file or folder; failing requests are repeated before a `DownloadError`."""

    def __init__(self, location: str, storage_options: Mapping[str, Any], title: str = "") -> None:
        """Open its filesystem; some connect at once.

        Args:
            location: URL.
            storage_options: As fsspec takes them for this kind of URL: credentials and the like.
            title: What messages call it, if not by its location: they then name no part of that.

        Raises:
            DownloadError: It cannot be opened.
        """
        self._location, self._title = location, title or location
        options = _with_limits(urlsplit(location).scheme, storage_options)
        self._fs, place = self._retried(lambda: fsspec.core.url_to_fs(location, **options))
        self._place = place.rstrip("/")

    def find(self, folders: bool = False) -> Collection[str]:
        """Files below the folder, as relative paths; hidden ones are left out.

        Args:
            folders: Whether to list the folders that hold files instead.
        """
        names = [name[len(self._place) :].lstrip("/") for name in self._retried(self._find)]
        shown = [name for name in names if not any(map(_hidden, name.split("/")))]
        return {name.rpartition("/")[0] for name in shown} if folders else shown

    def files(self) -> Infos:
        """The file (a header with its data file), or the files that lie directly in the folder."""
        return self._retried(self._files)

    def download(self, cache: Path) -> Path:
        """Download the file or folder; returns the path of the whole copy.

        Args:
            cache: Local folder to put the copy into.
        """
        infos = self.files()
        folder = cache / (_base(self._place) or "files")
        folder.mkdir()
        self._retried(lambda: self._get_missing(infos, folder))
        return folder / _base(self._place) if self._place in infos else folder

    def _retried(self, action: Callable[[], T]) -> T:
        reason, begun = "", time.monotonic()
        for wait_s in (*WAITS_S, 0):
            try:
                return action()
            # Every storage has errors of its own for a broken connection, few of them an OSError.
            except Exception as error:
                reason = self._reason(error)
                if isinstance(error, _FINAL):
                    break
                logger.warning("%s: %s", self._title, reason)
                if time.monotonic() - begun > GIVE_UP_AFTER_S:
                    break
                time.sleep(wait_s)
        raise DownloadError(
            f"{self._title} cannot be downloaded ({reason}). Is it there, do the "
            "entry's credentials allow to read it, does the network stand, and has "
            f"{tempfile.gettempdir()} (TMPDIR) room for it?"
        ) from None

    def _reason(self, error: Exception) -> str:
        """The error; without its text where that has a part of the location that is not shown."""
        hidden = self._location.removeprefix(self._title.removesuffix("…")).split("/")
        if self._title != self._location and any(p in str(error) for p in filter(None, hidden)):
            return type(error).__name__
        return f"{type(error).__name__}: {error}"

    def _find(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(self._place)
        except FileNotFoundError:
            found = []
        if not found:
            self._refuse_absent_bucket()
        return found

    def _files(self) -> Infos:
        fs, place = self._fs, self._place
        fs.invalidate_cache(place)  # or it may tell what was there an hour ago
        try:
            info = fs.info(place)
        except FileNotFoundError:
            self._refuse_absent_bucket()
            raise
        if info["type"] == "directory":
            listed = {info["name"]: info for info in fs.ls(place, detail=True)}
            return {n: i for n, i in listed.items() if i["type"] == "file" and not _hidden(n)}
        files = {place: info}
        if place.lower().endswith(_DETACHED_HEADERS):
            for data_file in named_in_header(fs.cat_file(place, 0, _MAX_HEADER_BYTES)):
                beside = str(PurePosixPath(place).parent / data_file)
                # Elsewhere it would not be found again; without it, the volume is unreadable.
                if data_file == _base(data_file) and fs.isfile(beside):
                    files[beside] = fs.info(beside)
        return files

    def _refuse_absent_bucket(self) -> None:
        """Raise an error of its own for an absent bucket: it is not a folder without files."""
        fs, bucket = self._fs, self._place.partition("/")[0]
        protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
        if _BUCKETS.intersection(protocols) and not fs.exists(bucket):
            raise FileNotFoundError(f"there is no such bucket: {bucket}")

    def _get_missing(self, infos: Infos, folder: Path) -> None:
        """Download what is not in the folder yet; what comes whole is kept though the rest fail."""
        missing = {n: info for n, info in infos.items() if not (folder / _base(n)).exists()}
        # Of its own: a transfer that was given up may still be writing to the earlier one.
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="partial_"))
        needed, short = sum(info["size"] for info in missing.values()), ""
        try:
            with room_in(partial, "the download", lambda: needed):
                self._fs.get([*missing], [str(partial / _base(name)) for name in missing])
        finally:
            for name, info in missing.items():
                file = partial / _base(name)
                n_bytes = file.stat().st_size if file.exists() else 0
                if n_bytes == info["size"]:
                    os.replace(file, folder / file.name)
                else:
                    short = f"only {n_bytes} of {info['size']} bytes of a file came"
        if short:
            raise OSError(short)


def _with_limits(scheme: str, storage_options: Mapping[str, Any]) -> dict[str, Any]:
    """Storage options with limits to silence, where they have none of their own."""
    options = dict(storage_options)
    if scheme in ("s3", "s3a"):
        limits = {"connect_timeout": SILENCE_S, "read_timeout": SILENCE_S}
        once = {"retries": {"total_max_attempts": 1}}  # s3fs itself tries five times
        options["config_kwargs"] = limits | once | dict(options.get("config_kwargs", {}))
    elif scheme in ("http", "https"):
        from aiohttp import ClientTimeout

        limit = ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
        options["client_kwargs"] = {"timeout": limit} | dict(options.get("client_kwargs", {}))
    elif scheme in ("sftp", "ssh"):
        names = ("timeout", "banner_timeout", "auth_timeout")
        options = dict.fromkeys(names, SILENCE_S) | options
    return options


def _base(name: str) -> str:
    return PurePosixPath(name).name


def _hidden(name: str) -> bool:
    return _base(name).startswith(".")


def _version(info: Mapping[str, Any]) -> str:
    version = next((info[key] for key in _VERSIONS if info.get(key)), None)
    if version is None:
        version = sorted((key, str(value)) for key, value in info.items() if key != "name")
    return f"{info['size']} {version}"
