"""A survey of a hospital's folder."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import SimpleITK as sitk

from coala_kedro.imaging.dicom_files import name_shape, open_dicom
from coala_kedro.imaging.files import VolumeError, read_volume
from coala_kedro.imaging.modalities import modality_name
from coala_kedro.imaging.silence import no_warnings
from coala_kedro.imaging.untrusted import file_fault
from coala_kedro.sources.anonymous import under_no_name
from coala_kedro.sources.patterns import VOLUME_SUFFIXES, volume_suffix
from coala_kedro.sources.search import find_local

LESION = re.compile(r".*(tumou?r|lesion|metasta|crlm|mass|gtv).*", re.IGNORECASE)
"""Segments whose labels look like the lesions that are wanted."""

UNREADABLE = "folders or files that cannot be read"

_TAGS = ("Modality", "ImageType", "SegmentSequence", "StructureSetROISequence")
_OTHERS = "others"
_AIR_HU = -200
_MAX_LABELS = 256


@dataclass
class Survey:
    """Files found below a folder, as relative paths.

    Attributes:
        series: Folders of CT series.
        segmentations: DICOM segmentations.
        structures: DICOM RT structure sets.
        scans: Volumes that hold CT.
        masks: Volumes of one label.
        organs: Volumes of several labels.
        others: How many localizers, series of other modalities and files of unknown kinds.
        segments: Labels of the segments, or names of the regions, of each DICOM segmentation or
            structure set.
    """

    series: list[str] = field(default_factory=list)
    segmentations: list[str] = field(default_factory=list)
    structures: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    organs: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    segments: dict[str, list[str]] = field(default_factory=dict)

    @property
    def labels(self) -> Counter[str]:
        """How often each segment's label, or region's name, comes."""
        return Counter(itertools.chain.from_iterable(self.segments.values()))


def survey(folder: Path) -> Survey:
    """Survey a folder from the headers of one file a folder and the voxels of a few volumes.

    Args:
        folder: The hospital's.

    Raises:
        ValueError: A name is not UTF-8.
    """
    found = Survey()
    names = [*find_local(folder, unreadable=lambda _: found.others.update([UNREADABLE]))]
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"Below {folder} are names that are not UTF-8, which no entry can hold: rename them, "
            f"as `convmv -f latin1 -t utf8 -r --notest {folder}` does."
        ) from None
    for _, group in itertools.groupby(sorted(names), key=os.path.dirname):
        _look_at_dicom(folder, [n for n in group if not n.endswith(VOLUME_SUFFIXES)], found)
    volumes = [name for name in names if name.endswith(VOLUME_SUFFIXES)]
    for name, kind in _volume_kinds(folder, volumes).items():
        if kind == _OTHERS:
            found.others["volumes"] += 1
        else:
            getattr(found, kind).append(name)
    return found


def _look_at_dicom(folder: Path, names: Sequence[str], found: Survey) -> None:
    """Sort the DICOM files of one folder; the first file of a series stands for all."""
    looked_at: set[str] = set()
    for name in names:
        # Files numbered alike are of one kind; reports and outlines may lie beside a series.
        shape = name_shape(Path(name))
        if shape in looked_at or os.path.basename(name).upper() == "DICOMDIR":
            continue
        try:
            header = read_header(folder / name, _TAGS)
        except OSError:
            found.others[UNREADABLE] += 1
            continue
        if header is None:
            continue
        modality = modality_name(str(header.get("Modality")))
        if modality == "SEG":
            found.segmentations.append(name)
            segments = header.get("SegmentSequence", ())
            found.segments[name] = [str(s.get("SegmentLabel", "")) for s in segments]
        elif modality == "RTSTRUCT":
            found.structures.append(name)
            regions = header.get("StructureSetROISequence", ())
            found.segments[name] = [str(region.get("ROIName", "")) for region in regions]
        elif modality == "CT" and "LOCALIZER" in (header.get("ImageType") or ()):
            found.others["localizers"] += 1
        elif modality == "CT":
            looked_at.add(shape)
            if os.path.dirname(name) not in found.series[-1:]:
                found.series.append(os.path.dirname(name))
        else:
            looked_at.add(shape)
            found.others[modality] += 1


def read_header(path: Path, keywords: Collection[str]) -> pydicom.Dataset | None:
    """The named elements of a DICOM file; None if it is none.

    Args:
        path: The file.
        keywords: Of the elements.

    Raises:
        OSError: The file cannot be read.
    """
    if fault := file_fault(path):
        raise OSError(fault)
    try:
        with no_warnings():
            header = open_dicom(path, keywords)
            if header:
                for tag in [*header.keys()]:
                    with suppress(Exception):  # Decoded now, for warnings quote what is decoded.
                        header[tag]
            return header
    except OSError:
        raise
    except Exception:  # Of whatever type, wherever wrong bytes lead pydicom.
        return None


def _volume_kinds(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """What volumes hold; of those in one folder whose names end alike, a few tell for all."""
    kinds: dict[str, str] = {}
    by_ending = sorted(names, key=_folder_and_last_word)
    for _, alike in itertools.groupby(by_ending, key=_folder_and_last_word):
        group = sorted(alike)
        # Masks lie between scans, and what cannot be read may lie first and last.
        read = {name: _kind(folder / name) for name in {*group[:2], *group[-2:]}}
        same = len({*read.values()}) == 1 and _OTHERS not in read.values()
        for name in group:
            kinds[name] = read[group[0]] if same else read.get(name) or _kind(folder / name)
    return kinds


def _folder_and_last_word(name: str) -> tuple[str, str]:
    """`a/p1.nii.gz` is `a` and nothing, `a/p1_mask.nii.gz` is `a` and `mask`."""
    place, file = os.path.split(name)
    word = re.search(r"[\W_]([^\W\d_]+)$", file.removesuffix(volume_suffix(file)))
    return place, word[1].lower() if word else ""


def _kind(path: Path) -> str:
    try:
        with under_no_name(path) as nameless:
            image = read_volume(nameless)
    except VolumeError:
        return _OTHERS
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        return _OTHERS
    voxels = sitk.GetArrayViewFromImage(image)
    if voxels.min() < _AIR_HU:
        return "scans"
    counts = {float(value) for value in voxels[:: max(1, len(voxels) // 8)].flat[::3]}
    if voxels.min() < 0 or len(counts) > _MAX_LABELS or any(value % 1 for value in counts):
        return _OTHERS
    return "organs" if voxels.max() > 1 and len(counts) > 2 else "masks"


def lesion_labels(labels: Collection[str]) -> str:
    """A regular expression for the labels that look like lesions; empty if none does.

    Args:
        labels: Of segments, or names of regions.
    """
    chosen = sorted(label for label in labels if LESION.fullmatch(label))
    stems = sorted({re.sub(r"[\s_-]*\d+$", "", label) for label in chosen})
    return "|".join(re.sub(r"([.^$*+?{}()|\[\]\\])", r"\\\1", stem) + ".*" for stem in stems)
