"""Fingerprints of version 0.1.0 for a scan's volumes, kept while these are written anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coala_kedro.fingerprint import file_fingerprint
from coala_kedro.former import formerly_linked
from coala_kedro.imaging.files import VolumeError, is_whole
from coala_kedro.imaging.identity import VolumeIdentity, volume_identity


@dataclass(frozen=True)
class _Volume:
    """A volume's voxels and geometry, and its file's fingerprint of version 0.1.0."""

    identity: VolumeIdentity
    known_as: str


class FormerVolumes:
    """The volumes of a scan as they are before they are written again."""

    def __init__(self, files: Mapping[str, Path], record: Mapping[str, Any], recipe: Any) -> None:
        """Read the files; one that is no volume does not count.

        Args:
            files: By their keys.
            record: The scan's record as the last run left it, complete or not.
            recipe: What will make the volumes again.
        """
        self._files = files
        self._before = {key: _before(path, key, record, recipe) for key, path in files.items()}

    def for_resuming(self) -> dict[str, tuple[str, str]]:
        """Both fingerprints of each volume, this version's and 0.1.0's, for a run that may stop."""
        return {
            key: (volumes[0].identity.fingerprint, volumes[0].known_as)
            for key, volumes in self._before.items()
            if volumes
        }

    def unchanged(self) -> dict[str, str]:
        """Fingerprints of version 0.1.0 of the volumes whose content did not change, by key."""
        known: dict[str, str] = {}
        for key, volumes in self._before.items():
            now = volume_identity(self._files[key]) if volumes else None
            same = [v.known_as for v in volumes if now and now.is_same(v.identity)]
            known |= {key: same[0]} if same and same[0] else {}
        return known


def _before(
    path: Path, key: str, record: Mapping[str, Any], recipe: Callable[[], Any] | None
) -> list[_Volume]:
    """The volume in a file, and the one that version 0.1.0 would have linked there."""
    found = []
    if is_whole(path) and (volume := _volume(path)):
        content, known_as = record.get("held", {}).get(key, ("", ""))  # to a run that was stopped
        same = known_as if content == volume.identity.fingerprint else ""
        formerly = same or record.get("formerly", {}).get(key, "")
        found.append(_Volume(volume.identity, formerly or volume.known_as))
    if (linked := formerly_linked(recipe)) and (volume := _volume(linked)):
        found.append(volume)
    return found


def _volume(path: Path) -> _Volume | None:
    try:
        return _Volume(volume_identity(path), file_fingerprint(path))
    except (OSError, VolumeError):
        return None
