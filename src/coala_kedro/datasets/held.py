"""What a file held before it is made again: as that, version 0.1.0 may know what it will hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coala_kedro.fingerprint import file_fingerprint
from coala_kedro.former import formerly_linked
from coala_kedro.imaging.files import VolumeError, is_whole
from coala_kedro.imaging.identity import VolumeIdentity, volume_identity


@dataclass(frozen=True)
class HeldVolume:
    """What a file holds.

    Attributes:
        identity: Its voxels and geometry.
        known_as: What version 0.1.0 knew it as.
    """

    identity: VolumeIdentity
    known_as: str

    @property
    def told(self) -> tuple[str, str]:
        """For the mark of a run that may be stopped."""
        return self.identity.fingerprint, self.known_as


def held_volumes(
    path: Path, key: str, mark: Mapping[str, Any], recipe: Callable[[], Any] | None
) -> list[HeldVolume]:
    """What a file holds, and what version 0.1.0 would have let it hold.

    Args:
        path: The file.
        key: The volume's.
        mark: Its scan's, as the last run left it, complete or not.
        recipe: What will make the volume again.
    """
    found = []
    if is_whole(path) and (held := _held(path)):
        content, known_as = mark.get("held", {}).get(key, ("", ""))  # to a run that was stopped
        same = known_as if content == held.identity.fingerprint else ""
        formerly = same or mark.get("formerly", {}).get(key, "")
        found.append(HeldVolume(held.identity, formerly or held.known_as))
    if (linked := formerly_linked(recipe)) and (held := _held(linked)):
        found.append(held)
    return found


def known_in(path: Path, held: Iterable[HeldVolume]) -> str | None:
    """What version 0.1.0 knew as what a file holds now; None if nothing."""
    held = list(held)
    now = volume_identity(path) if held else None
    return next((was.known_as for was in held if now and now.is_same(was.identity)), None)


def _held(path: Path) -> HeldVolume | None:
    try:
        return HeldVolume(volume_identity(path), file_fingerprint(path))
    except (OSError, VolumeError):
        return None
