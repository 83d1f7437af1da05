"""Volumes keyed `<name>/<scan_id>`, by scan or by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from kedro.io import DatasetError

V = TypeVar("V")


def by_scan(volumes: Mapping[str, V]) -> dict[str, dict[str, V]]:
    """Regroup volumes keyed `<name>/<scan_id>` as `{scan_id: {name: volume}}`.

    Args:
        volumes: As a `VolumeFolderDataset` loads them.

    Raises:
        DatasetError: A volume lies in no subfolder.
    """
    grouped: dict[str, dict[str, V]] = {}
    for key, volume in sorted(volumes.items()):
        name, _, scan = key.rpartition("/")
        if not name:
            raise DatasetError(
                f"The volume '{key}' lies in no subfolder: move it to <name>/{key}, where the name "
                "tells whose it is, such as reader_1; or name the reader in the catalog entry, "
                "such as `values: {reader_1: 2}` of label files or `segments: {reader_1: Tumor}`."
            )
        grouped.setdefault(scan, {})[name] = volume
    return grouped


def part_of(volumes: Mapping[str, V], name: str) -> dict[str, V]:
    """The volumes keyed `<name>/<scan_id>`, by scan id.

    Args:
        volumes: As a `VolumeFolderDataset` loads them.
        name: Of the wanted ones.
    """
    prefix = f"{name}/"
    return {
        key.removeprefix(prefix): volume
        for key, volume in volumes.items()
        if key.startswith(prefix)
    }
