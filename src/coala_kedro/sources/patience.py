"""How long a storage that does not answer is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

SILENCE_S = 15
"""A connection that brings nothing for so long is given up. The libraries' own limits are a minute
and more, five times over, or none."""
GIVE_UP_AFTER_S = 45
"""From then on nothing is tried again: with the last try's own limits it is over in two minutes."""

_BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")


def with_limits(location: str, storage_options: Mapping[str, Any]) -> dict[str, Any]:
    """Storage options with limits to silence, where they tell none.

    Args:
        location: URL.
        storage_options: As fsspec takes them.
    """
    options = dict(storage_options)
    scheme = urlsplit(location).scheme
    if scheme in ("s3", "s3a"):
        limits = {"connect_timeout": SILENCE_S, "read_timeout": SILENCE_S}
        # s3fs itself tries five times.
        once: dict[str, Any] = {"retries": {"total_max_attempts": 1}}
        options["config_kwargs"] = limits | once | dict(options.get("config_kwargs", {}))
    elif scheme in ("http", "https"):
        from aiohttp import ClientTimeout

        limit = ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
        options["client_kwargs"] = {"timeout": limit} | dict(options.get("client_kwargs", {}))
    elif scheme in ("sftp", "ssh"):
        names = ("timeout", "banner_timeout", "auth_timeout")
        options = dict.fromkeys(names, SILENCE_S) | options
    return options


def refuse_absent_bucket(fs: Any, place: str) -> None:
    """Tell an absent bucket as such, not as a folder without files.

    Raises:
        FileNotFoundError: There is none.
    """
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    bucket = place.partition("/")[0]
    if {*protocols} & {*_BUCKETS} and not fs.exists(bucket):
        raise FileNotFoundError(f"there is no such bucket: {bucket}")
