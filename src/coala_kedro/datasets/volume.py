"""A volume in a file: read lazily, written atomically."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import SimpleITK as sitk
from kedro.io import DatasetError

from coala_kedro.disk import DiskFullError, disk_full
from coala_kedro.fingerprint import file_fingerprint
from coala_kedro.imaging import files
from coala_kedro.imaging.files import VolumeError, read_grid, read_volume
from coala_kedro.imaging.geometry import orientation_of
from coala_kedro.imaging.identity import volume_fingerprint


@dataclass(frozen=True)
class LazyVolume:
    """A volume on disk that is read when called.

    Attributes:
        path: Absolute path of the file.
        formerly: Fingerprint of a file that was in its place and held the same, as version 0.1.0
            knew it; empty if there was none.
    """

    path: str
    formerly: str = field(default="", compare=False)

    def __call__(self) -> sitk.Image:
        """Read the volume (xyz, LPS, mm)."""
        return read_volume(self.path)

    def grid(self) -> sitk.ImageFileReader:
        """Size, spacing, origin and direction (xyz, LPS, mm) from the header alone."""
        return read_grid(self.path)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of its voxels and geometry, whatever else its file says."""
        return volume_fingerprint(self.path)

    @property
    def former_fingerprint(self) -> str | None:
        """Fingerprint of version 0.1.0: of its file's bytes, see `former`."""
        return self.formerly or file_fingerprint(self.path)

    @property
    def orientation(self) -> str:
        """Where its axes run; see `imaging.geometry.orientation_of`."""
        return orientation_of(self.grid())


class VolumeToBe(LazyVolume):
    """A volume that will be made again: its file is not there yet, or holds the earlier one."""

    @property
    def fingerprint(self) -> str:
        """A fingerprint of no file, so that everything made of the volume is made again."""
        return "will be made again"

    @property
    def former_fingerprint(self) -> str | None:
        """None, for the volume is not made yet."""
        return None


def write_volume(image: sitk.Image, path: Path) -> None:
    """Write a volume's voxels and grid, atomically; see `imaging.files.write_volume`.

    Args:
        image: Without the texts of the header that it came with: they are left out.
        path: Its suffix tells the format (NIfTI, NRRD, MetaImage).

    Raises:
        DatasetError: It cannot be written, or the disk is full; nothing is left under its name but
            what was there before.
    """
    try:
        files.write_volume(image, path)
    except (DiskFullError, VolumeError) as error:
        raise DatasetError(f"The volume {path} cannot be written: {error}") from None


def link_file(source: Path, path: Path) -> None:
    """Link to a file instead of writing it again, atomically.

    Args:
        source: The file.
        path: The link; it replaces what was there.

    Raises:
        DatasetError: There is no such file, or the disk is full.
    """
    if not source.is_file():
        raise DatasetError(f"There is no file for {path} to stand for.")
    partial = path.with_name(f".partial-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.symlink_to(source.absolute())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if full := disk_full(error, path.parent, "a link", len(str(source))):
            raise DatasetError(full) from None
        raise
