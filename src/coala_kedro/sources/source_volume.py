"""One volume that a hospital brings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import SimpleITK as sitk

from coala_kedro.imaging.dicom_origin import Origin
from coala_kedro.imaging.dicom_stacks import SeriesChoice
from coala_kedro.imaging.files import (
    VolumeError,
    check_file,
    read_texts,
    read_whole_volume,
)
from coala_kedro.imaging.geometry import Grid, paste_on_grid
from coala_kedro.imaging.lesion_labels import select_segments, select_values
from coala_kedro.imaging.nifti_facts import is_read_alike, volume_header_facts
from coala_kedro.sources.anonymous import under_no_name
from coala_kedro.sources.choice import SEGMENT_FORMATS
from coala_kedro.sources.storage import content_fingerprint, fetched, local_path

Format = Literal["volume", "dicom_series", "dicom_seg", "rtstruct"]
"""A file that SimpleITK reads by its suffix (NIfTI, NRRD, MetaImage), a folder of DICOM files that
are one series, a DICOM segmentation, or a DICOM RT structure set."""


@dataclass(frozen=True, repr=False)
class SourceVolume:
    """A scan or mask where the hospital has it, read when called. Can be pickled.

    Attributes:
        location: Local path or URL of the file, of a DICOM series the folder.
        format: What is there.
        segments: Of a segmentation (DICOM, or Slicer's `.seg.nrrd`) or structure set: a regular
            expression; the segments whose whole label (the regions whose whole name) it matches
            are the mask.
        storage_options: What fsspec needs to open the URL: credentials, so it is never shown.
        resample: Whether a mask may lie on another grid than its scan.
        alias: What messages call it where its path may tell who somebody is; empty where the path
            below the entry's folder is nothing but the scan's id (and the reader's).
        values: Of a label file: its values that are the mask; none if it is a mask as it is.
        series: Of a DICOM series: which one, where there are several.
        correct_tilt: Of a DICOM series: whether a tilted gantry is corrected.
    """

    location: str
    format: Format = "volume"
    segments: str = ""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    resample: bool = False
    alias: str = ""
    values: tuple[int, ...] = ()
    series: SeriesChoice | None = None
    correct_tilt: bool = False

    def __repr__(self) -> str:
        """Its title and format: neither a path with names nor credentials."""
        return f"SourceVolume({self.title!r}, {self.format!r})"

    def __call__(self) -> sitk.Image:
        """Read the volume, as `whole`."""
        return self.whole()

    def whole(self) -> sitk.Image:
        """Read the volume (xyz, LPS, mm; CT in HU) after making sure that nothing is missing.

        Raises:
            VolumeError: It is absent, damaged, incomplete or no volume of its format; or a
                `DownloadError`, which does not say that anything is wrong with it.
        """
        with self._fetched() as path:
            if self.format == "volume":
                volume = read_whole_volume(path)
                if self.segments:
                    return select_segments(volume, read_texts(path), self.segments)
                return select_values(volume, self.values) if self.values else volume
            if self.format == "dicom_series":
                from coala_kedro.imaging.dicom import read_series

                return read_series(path, self.series, correct_tilt=self.correct_tilt)
            if self.format == "rtstruct":
                raise VolumeError("A structure set has no grid of its own")
            check_file(path)
            from coala_kedro.imaging.dicom_seg import read_segments  # highdicom is slow

            return read_segments(path, self.segments)

    def on_grid(self, grid: Grid) -> sitk.Image:
        """Read a mask, and put it on a scan's grid.

        Args:
            grid: The scan, or its grid.

        Returns:
            The mask on the grid; one that is no DICOM as it is, where it cannot be put there, or
            where nothing says that it may lie elsewhere.

        Raises:
            VolumeError: As `whole`, or a DICOM file has another grid (code `other_grid`).
        """
        if self.format not in SEGMENT_FORMATS:
            mask = self.whole()
            if self.may_be_cropped or self.resample:
                with suppress(ValueError):
                    return paste_on_grid(mask, grid, resample=self.resample)
            return mask
        with self._fetched() as path:
            check_file(path)
            if self.format == "rtstruct":
                from coala_kedro.imaging.dicom_rtstruct import read_structures

                return read_structures(path, self.segments, grid, resample=self.resample)
            from coala_kedro.imaging.dicom_seg import read_segments

            return read_segments(path, self.segments, grid, resample=self.resample)

    @property
    def origin(self) -> Origin:
        """The UIDs of a DICOM series, or of what an outline was drawn on; of volumes, none.

        Raises:
            VolumeError: As `whole`.
        """
        if self.format == "volume":
            return Origin()
        with self._fetched() as path:
            if self.format == "dicom_series":
                from coala_kedro.imaging.dicom import series_origin

                return series_origin(path, self.series)
            if self.format == "rtstruct":
                from coala_kedro.imaging.dicom_rtstruct import rtstruct_origin

                return rtstruct_origin(path, self.segments)
            from coala_kedro.imaging.dicom_seg import seg_origin

            return seg_origin(path)

    def header_facts(self, acquired_on: str = "") -> dict[str, bool | int | float | str]:
        """Facts of the headers; see `dicom.inspect_series` and `nifti_facts.volume_header_facts`.

        Args:
            acquired_on: The scan table's date (ISO), to hold a DICOM series' patient against it.

        Returns:
            Facts by name; none for a segmentation.
        """
        if self.format in SEGMENT_FORMATS:
            return {}
        with self._fetched() as path:
            if self.format == "volume":
                return volume_header_facts(path)
            from coala_kedro.imaging.dicom import inspect_series  # pydicom is slow

            return inspect_series(
                path, self.series, correct_tilt=self.correct_tilt, acquired_on=acquired_on
            )

    @contextmanager
    def _fetched(self) -> Iterator[Path]:
        """A local path of the volume; errors show its title, not the path.

        Raises:
            VolumeError: As `whole`.
        """
        # A path that may tell who somebody is: libraries would print it.
        is_hidden = self.format == "volume" and self.alias
        with (
            fetched(self.location, self.storage_options, self.title) as place,
            under_no_name(place) if is_hidden else nullcontext(place) as path,
        ):
            try:
                yield path
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise VolumeError(f"{self.title} cannot be read: {reason}") from None
            except VolumeError as error:
                message = str(error).replace(str(path), self.title).replace(str(place), self.title)
                raise VolumeError(message, error.code) from None

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the content and of how it is read, wherever it lies."""
        content = content_fingerprint(self.location, self.storage_options, self.title)
        options = [
            self.format,
            self.segments,
            "resample" if self.resample else "",
            f"values {sorted(self.values)}" if self.values else "",
            self.series.model_dump_json(exclude_none=True) if self.series else "",
            "correct_tilt" if self.correct_tilt else "",
        ]
        return " ".join([content, *filter(None, options)])

    @contextmanager
    def local(self) -> Iterator[SourceVolume]:
        """Keep a download within the block, so that several reads cost one download.

        Raises:
            DownloadError: It cannot be downloaded.
        """
        with fetched(self.location, self.storage_options, self.title) as path:
            alias = self.alias if path == local_path(self.location) else self.title
            yield dataclasses.replace(self, location=str(path), storage_options={}, alias=alias)

    @property
    def title(self) -> str:
        """Its name in messages."""
        return self.alias or self.location

    @property
    def may_be_cropped(self) -> bool:
        """Whether such a file (Slicer's) leaves empty margins out."""
        return self.location.lower().endswith(".seg.nrrd")

    @property
    def file(self) -> Path | None:
        """The file, if it is a local `.nii.gz` that can be linked as it is; else None.

        Every program reads it as we do, and its path holds no names.
        """
        path = None if self.alias else self.local_nifti
        return path if path and is_read_alike(path) else None

    @property
    def local_nifti(self) -> Path | None:
        """The file, if it is a `.nii.gz` here that is used as it is."""
        nifti = self.format == "volume" and self.location.endswith(".nii.gz")
        return local_path(self.location) if nifti and not self.values else None
