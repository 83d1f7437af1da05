"""What the DICOM files of a folder are, by the headers of as few as tell."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom

from coala_kedro.imaging.dicom_files import name_shape
from coala_kedro.imaging.modalities import modality_name
from coala_kedro.sources.headers import read_header

if TYPE_CHECKING:
    from coala_kedro.sources.survey import Survey

UNREADABLE = "folders or files that cannot be read"

_TAGS = ("Modality", "ImageType", "SegmentSequence", "StructureSetROISequence")


def look_at_dicom(folder: Path, names: Sequence[str], found: Survey) -> None:
    """Sort the DICOM files of one folder; a series is told by its first file.

    Args:
        folder: Of the hospital.
        names: Of the files, relative to it.
        found: What was found so far; changed.
    """
    looked_at: set[str] = set()
    for name in names:
        # Files numbered alike are of one kind; reports and outlines may lie beside a series.
        shape = name_shape(Path(name))
        header = None if shape in looked_at else _header(folder / name, found)
        if header is None:
            continue
        modality = modality_name(str(header.get("Modality")))
        if modality == "SEG":
            found.segmentations.append(name)
            found.labels.update(str(s.SegmentLabel) for s in header.get("SegmentSequence", ()))
        elif modality == "RTSTRUCT":
            found.structures.append(name)
            rois = header.get("StructureSetROISequence", ())
            found.labels.update(str(roi.get("ROIName", "")) for roi in rois)
        elif modality == "CT" and "LOCALIZER" in (header.get("ImageType") or ()):
            found.others["localizers"] += 1
        elif modality == "CT":
            looked_at.add(shape)
            if os.path.dirname(name) not in found.series[-1:]:
                found.series.append(os.path.dirname(name))
        else:
            looked_at.add(shape)
            found.others[modality] += 1


def _header(path: Path, found: Survey) -> pydicom.Dataset | None:
    if path.name.upper() == "DICOMDIR":
        return None
    try:
        return read_header(path, _TAGS)
    except OSError:
        found.others[UNREADABLE] += 1
        return None
