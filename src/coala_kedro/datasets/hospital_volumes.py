"""Scans or masks where a hospital has them, of any format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from coala_kedro.sources import (
    DownloadError,
    Format,
    SeriesChoice,
    SourceError,
    SourceVolume,
    Values,
    check_layout,
    find_volumes,
    read_pseudonyms,
)


class HospitalVolumesDataset(AbstractDataset[NoReturn, dict[str, SourceVolume]]):
    """Loads a hospital's volumes, unread, as `{scan_id: SourceVolume}`. Read-only.

    The pattern tells which path is which scan's: by `{scan_id}`, or by several placeholders that
    together make its id, joined by `_`. `{reader}` may be there too, and keys are then
    `<reader>/<scan_id>`. `*` and `?` stand for anything in a part of a path, `**` for any parts.
    Hidden files are left out. Where paths tell who somebody is, a file of pseudonyms gives the scan
    ids, and what is not in it is left out. The path may be a URL that fsspec knows; volumes are
    downloaded one by one as they are read, to the folder for temporary files (`TMPDIR`), and
    removed again.

    Examples:
        docs/bringing_a_hospital.md has an entry for every format.

        ```yaml
        internal.raw_scans:  # a folder of NIfTI (or .nrrd, .mha) files
          type: coala_kedro.datasets.HospitalVolumesDataset
          path: /hospital/ct
          pattern: "{scan_id}.nii.gz"

        internal.raw_reader_masks:  # label files of 1 = liver, 2 = tumour, on grids of their own
          type: coala_kedro.datasets.HospitalVolumesDataset
          path: /hospital/outlines
          pattern: "{reader}/{scan_id}.nrrd"
          values: 2  # or several, [2, 3]; or by reader, {ann: 2, bob: [1, 3]}
          resample: nearest

        external.raw_scans:  # all series of a study in one folder
          type: coala_kedro.datasets.HospitalVolumesDataset
          path: /pacs/export
          pattern: "{scan_id}"
          format: dicom_series
          series: {description: "(?i).*(portal|pv).*", slice_thickness_mm: 5}

        external.raw_reader_masks:  # a DICOM segmentation with the segments of all readers
          type: coala_kedro.datasets.HospitalVolumesDataset
          path: s3://hospital/pacs  # needs `pip install s3fs`
          credentials: hospital_s3  # in conf/local/credentials.yml: key, secret, ...
          pattern: "{scan_id}/*/SEG_*/*.dcm"
          format: dicom_seg
          segments: {reader_1: "R1 tumou?r.*", reader_2: "R2 tumou?r.*"}
        ```

        >>> HospitalVolumesDataset(path="/hospital/ct").load()["scan_1"]
        SourceVolume('/hospital/ct/scan_1.nii.gz', 'volume')
    """

    def __init__(
        self,
        *,
        path: str,
        pattern: str = "{scan_id}.nii.gz",
        format: Format = "volume",
        segments: str | Mapping[str, str] | None = None,
        values: Values = None,
        resample: Literal["nearest"] | None = None,
        series: Mapping[str, Any] | None = None,
        tilt: Literal["resample"] | None = None,
        pseudonyms: str | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            path: Local folder, or URL of a remote one (`s3://`, `gs://`, `abfs://`, `sftp://`).
            pattern: Path of a volume below it; of a DICOM series, its folder.
            format: `volume` (by its suffix), `dicom_series`, `dicom_seg` or `rtstruct`.
            segments: Of `dicom_seg`, `rtstruct` and Slicer's `.seg.nrrd`: a regular expression for
                the whole label of the segments that are the mask, or one by reader.
            values: Of other label files: the values that are the mask, all or by reader. Without
                it, a file must be a mask of 0 and 1.
            resample: `nearest` puts masks that lie on another grid than their scan on its grid.
            series: Of `dicom_series`: which of several in a folder, by the attributes of
                `imaging.dicom_stacks.SeriesChoice`.
            tilt: Of `dicom_series`: `resample` corrects tilted gantries, see
                `imaging.dicom.read_series`; masks drawn on them need `resample: nearest`.
            pseudonyms: CSV with the columns `found` (what the placeholders of a path stand for,
                joined by `_`) and `scan_id`.
            credentials: What opens the URL, for fsspec.
            fs_args: Arguments of the fsspec filesystem.
            metadata: For kedro-viz and other plugins.

        Raises:
            DatasetError: The pattern, the format, an option or the URL is wrong.
        """
        _check_words(resample=(resample, "nearest"), tilt=(tilt, "resample"))
        try:
            check_layout(path, pattern, format, segments or "", values)
        except SourceError as error:
            raise DatasetError(str(error)) from None
        if (series is not None or tilt) and format != "dicom_series":
            raise DatasetError("`series` and `tilt` go with the format 'dicom_series'.")
        self._path = path
        self._options: dict[str, Any] = {
            "pattern": pattern,
            "format": format,
            "segments": segments or "",
            "values": values,
            "resample": resample is not None,
            "series": None if series is None else _series_choice(series),
            "correct_tilt": tilt is not None,
        }
        self._pseudonyms = pseudonyms
        self._storage_options = {**(credentials or {}), **(fs_args or {})}
        self.metadata = metadata

    def load(self) -> dict[str, SourceVolume]:
        """Find the volumes, sorted by key.

        Raises:
            DatasetError: There is none, two are one scan's, or the place cannot be reached.
        """
        try:
            return self._found()
        except (SourceError, DownloadError) as error:
            raise DatasetError(str(error)) from None

    def save(self, data: NoReturn) -> None:
        """Refuse: nothing is written into a hospital's folder.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A hospital's volumes are read-only: no node can save them.")

    def _found(self) -> dict[str, SourceVolume]:
        return find_volumes(
            self._path,
            storage_options=self._storage_options,
            pseudonyms=read_pseudonyms(self._pseudonyms) if self._pseudonyms else None,
            **self._options,
        )

    def _exists(self) -> bool:
        try:
            return bool(self._found())
        except SourceError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path, **self._options, "pseudonyms": self._pseudonyms}


def _check_words(**options: tuple[str | None, str]) -> None:
    for name, (value, only) in options.items():
        if value not in (None, only):
            raise DatasetError(f"`{name}` can be '{only}' or be left out, not '{value}'.")


def _series_choice(series: Mapping[str, Any]) -> SeriesChoice:
    try:
        return SeriesChoice(**series)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'series'}: {e['msg']}" for e in error.errors()
        )
        raise DatasetError(f"`series` is not as it must be: {faults}.") from None
