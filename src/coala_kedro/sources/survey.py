"""What a folder of a hospital holds, and the patterns that tell which file is which scan's."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from coala_kedro.imaging.files import VolumeError, read_volume
from coala_kedro.sources.dicom_survey import UNREADABLE, look_at_dicom
from coala_kedro.sources.nameless import under_no_name
from coala_kedro.sources.walk import walked

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
LESION = re.compile(r".*(tumou?r|lesion|metasta|crlm|mass|gtv).*", re.IGNORECASE)
"""Segments whose labels look like the lesions that are wanted."""

_OTHERS = "others"
_AIR_HU = -200
_MAX_LABELS = 256
_SEPARATORS = "_-."
_DAY = re.compile(r"(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d")
"""In a part that tells days, not scans: two patients may have come on the same."""


_Key = Callable[[str], Any]


@dataclass
class Survey:
    """What was found below a folder, as relative paths.

    Attributes:
        series: Folders of CT series.
        segmentations: DICOM segmentations.
        structures: DICOM RT structure sets.
        scans: Volumes that hold CT.
        masks: Volumes of one label.
        organs: Volumes of several labels.
        others: How many localizers and series of other modalities, and files that nobody could
            tell.
        labels: How often each segment's label, or region's name, comes.
    """

    series: list[str] = field(default_factory=list)
    segmentations: list[str] = field(default_factory=list)
    structures: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    organs: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Layout:
    """A pattern for `find_volumes`, and what it finds.

    Attributes:
        pattern: With `{scan_id}`, or `{patient}` and `{study}`; and `{reader}` where paths differ
            by more.
        scan_ids: By path.
    """

    pattern: str
    scan_ids: dict[str, str]


def survey(folder: Path) -> Survey:
    """Look at a folder: the header of one file a folder, and voxels of as few volumes as tell.

    Raises:
        ValueError: A name is not UTF-8.
    """
    found = Survey()
    names = [*walked(folder, unreadable=lambda _: found.others.update([UNREADABLE]))]
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"Below {folder} are names that are not UTF-8, which no entry can hold: rename them, "
            f"as `convmv -f latin1 -t utf8 -r --notest {folder}` does."
        ) from None
    for _, group in itertools.groupby(sorted(names), key=os.path.dirname):
        look_at_dicom(folder, [n for n in group if not n.endswith(VOLUME_SUFFIXES)], found)
    for kind, listed in _volume_kinds(folder, [n for n in names if n.endswith(VOLUME_SUFFIXES)]):
        if kind == _OTHERS:
            found.others["volumes"] += len(listed)
        else:
            getattr(found, kind).extend(sorted(listed))
    return found


def _volume_kinds(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Volumes by what they hold: alike in a folder, or alike by name, or looked at one by one."""

    @functools.cache
    def kind(name: str) -> str:
        return _kind(folder / name)

    def divided(names: Sequence[str], *keys: _Key) -> Iterator[tuple[str, list[str]]]:
        for _, alike in itertools.groupby(sorted(names, key=keys[0]), key=keys[0]):
            group = sorted(alike)
            # Masks lie between scans, and what cannot be read may lie first and last.
            kinds = {kind(name) for name in (*group[:2], *group[-2:])}
            if len(group) == 1 or (len(kinds) == 1 and kinds != {_OTHERS}):
                yield kinds.pop(), group
            else:
                yield from divided(group, *keys[1:])

    return divided(names, _folder_and_last_word, os.path.basename, str)


def _folder_and_last_word(name: str) -> tuple[str, str]:
    """`a/p1.nii.gz` is `a` and nothing, `a/p1_mask.nii.gz` is `a` and `mask`."""
    place, file = os.path.split(name)
    word = re.search(r"[\W_]([^\W\d_]+)$", file.removesuffix(_suffix(file)))
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


def generalise(
    paths: Sequence[str], scans: Layout | None = None, *, readers: bool = False
) -> Layout | None:
    """Find the pattern of paths.

    Args:
        paths: Relative, of one kind of thing.
        scans: The scans they belong to; without them, these are the scans: the first part that
            differs from path to path is the scan's id, or two parts that differ together, such as
            patient and day.
        readers: Whether another part tells who made it even if there is one for each scan.

    Returns:
        The pattern, or None if there is none: paths of different depths, or no part tells scans
        apart. Where several paths are one scan's, a part that comes again from scan to scan is the
        reader.
    """
    split = [path.split("/") for path in paths]
    if not split or len({len(parts) for parts in split}) > 1:
        return None
    columns = [*zip(*split, strict=True)]
    told = _own(columns) if scans is None else _of_scans(columns, scans)
    if told is None:
        return None
    ids, placed = told
    reader = None
    if not any("{reader}" in piece for piece in placed.values()):
        places = {*placed, *(_shared(columns, ids, scans) if scans else ())}
        reader = _reader(columns, ids, places, readers)
    pieces = []
    for number, column in enumerate(columns):
        if number == reader:
            pieces.append("{reader}" + (_ending(column) if number == len(columns) - 1 else ""))
        else:
            pieces.append(placed.get(number) or _glob(column))
    return Layout("/".join(pieces), dict(zip(paths, ids, strict=True)))


Columns = Sequence[Sequence[str]]
Told = tuple[list[str], dict[int, str]]
"""Each path's scan id, and the pieces of the pattern that tell it, by position."""


def _own(columns: Columns) -> Told | None:
    """Scan ids from one part of the paths, or from two."""
    varying = [n for n, column in enumerate(columns) if len(set(column)) > 1]
    alone = next((n for n, column in enumerate(columns) if _all_differ(column)), None)
    # Days alone are no scan ids where the part before, the patient, can go with them.
    if alone is not None and not (
        varying and varying[0] < alone and all(map(_DAY.search, columns[alone]))
    ):
        ids, piece = _stripped(columns[alone], "{scan_id}")
        return ids, {alone: piece}
    for first, second in itertools.combinations(varying, 2):
        parts = (columns[first], columns[second])
        if _all_differ([*zip(*parts, strict=True)]):
            (patients, patient), (studies, study) = map(_stripped, parts, ("{patient}", "{study}"))
            ids = [f"{p}_{s}" for p, s in zip(patients, studies, strict=True)]
            return ids, {first: patient, second: study}
    return None


def _of_scans(columns: Columns, scans: Layout) -> Told | None:
    """Scan ids from a part that begins with one; else from the parts that tell the scans'."""
    known = set(scans.scan_ids.values())
    for position, column in enumerate(columns):
        if told := _known(column, known):
            return told[0], {position: told[1]}
    placed = {n: piece for n, piece in enumerate(scans.pattern.split("/")) if "{" in piece}
    if max(placed) >= len(columns):
        return None
    parts = []
    for position, piece in placed.items():
        ending = piece[piece.index("}") + 1 :]
        if not all(value.endswith(ending) for value in columns[position]):
            return None
        parts.append([value.removesuffix(ending) for value in columns[position]])
    ids = ["_".join(values) for values in zip(*parts, strict=True)]
    return (ids, placed) if known.issuperset(ids) else None


def _known(column: Sequence[str], scan_ids: Collection[str]) -> tuple[list[str], str] | None:
    """Parts that begin with a known scan's id; what follows is constant, or names a reader."""
    longest_first = sorted(scan_ids, key=len, reverse=True)
    ids = [next((i for i in longest_first if value.startswith(i)), "") for value in column]
    if not all(ids):
        return None
    rests = [value.removeprefix(i) for value, i in zip(column, ids, strict=True)]
    if len(set(rests)) == 1:
        return ids, "{scan_id}" + rests[0]
    if all(rest[:1] == "_" for rest in rests) and _tells_apart(ids, rests):
        return ids, "{scan_id}_{reader}" + _ending(rests)
    return None


def _shared(columns: Columns, ids: Sequence[str], scans: Layout) -> list[int]:
    """Folders in which each scan lies itself, so that they are no reader's."""
    paths = {scan_id: path.split("/") for path, scan_id in scans.scan_ids.items()}
    theirs = [*zip(*(paths[scan_id] for scan_id in ids), strict=True)]
    alike = zip(columns[:-1], theirs[:-1], strict=False)
    return [n for n, (column, folder) in enumerate(alike) if [*column] == [*folder]]


def _reader(
    columns: Columns, ids: Sequence[str], placed: Collection[int], readers: bool
) -> int | None:
    """The part that tells who made it, if one does."""
    several = not _all_differ(ids)
    for number, column in enumerate(columns):
        if number in placed or not _tells_apart(ids, column):
            continue
        again = len(set(column)) < len(column) or len(set(ids)) == 1
        if again and (several or (readers and number < len(columns) - 1)):
            return number
    return None


def _stripped(column: Sequence[str], name: str) -> tuple[list[str], str]:
    """The values without what all end with, and the piece of the pattern that tells them."""
    ending = _ending(column) if len(column) > 1 else _suffix(column[0])
    return [value.removesuffix(ending) for value in column], name + ending


def _all_differ(values: Sequence[object]) -> bool:
    return len(set(values)) == len(values)


def _tells_apart(ids: Sequence[str], column: Sequence[str]) -> bool:
    return _all_differ([*zip(ids, column, strict=True)])


def _glob(column: Sequence[str]) -> str:
    if len(set(column)) == 1:
        return column[0]
    start = os.path.commonprefix(column)  # noqa: RUF071  # of characters: yes
    start = start[: max((start.rfind(s) for s in _SEPARATORS[:2]), default=-1) + 1]
    return f"{start}*{_ending(column)}"


def _ending(values: Sequence[str]) -> str:
    """What all end with, from a separator on."""
    common = os.path.commonprefix([value[::-1] for value in values])[::-1]  # noqa: RUF071
    places = [place for s in _SEPARATORS if (place := common.find(s)) >= 0]
    return common[min(places) :] if places else ""


def _suffix(name: str) -> str:
    return next((s for s in VOLUME_SUFFIXES if name.endswith(s)), Path(name).suffix)


def lesion_labels(labels: Collection[str]) -> str:
    """A regular expression for the labels that look like lesions; empty if none does."""
    chosen = sorted(label for label in labels if LESION.fullmatch(label))
    stems = sorted({re.sub(r"[\s_-]*\d+$", "", label) for label in chosen})
    return "|".join(re.sub(r"([.^$*+?{}()|\[\]\\])", r"\\\1", stem) + ".*" for stem in stems)
