"""Patterns of paths with `{scan_id}` and `{reader}`: matching paths, and finding patterns."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from coala_kedro.sources.choice import SourceError

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

_TOKEN = re.compile(r"\{(?P<name>\w+)\}|\*\*/|\*\*|\*|\?|[^{}*?]+|.", re.DOTALL)
_GLOBS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}

_SEPARATORS = "_-."
_DAY = re.compile(r"(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d")
"""In a part that tells days, not scans: two patients may have come on the same."""

Columns = Sequence[Sequence[str]]
"""The first parts of all paths, their second parts, ..."""
Identified = tuple[list[str], dict[int, str]]
"""Each path's scan id, and the pieces of the pattern that have its placeholders, by position."""


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

    @property
    def readers(self) -> list[str]:
        """The reader in each path; empty if the pattern has no {reader}."""
        fits = pattern_expression(self.pattern)
        matches = [match for path in self.scan_ids if (match := fits.fullmatch(path))]
        return [match["reader"] for match in matches if "reader" in fits.groupindex]


def pattern_expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern; its groups are the placeholders.

    Args:
        pattern: As `find_volumes` takes it.

    Raises:
        SourceError: A brace has no other.
    """
    parts, seen = [], set()
    for token in _TOKEN.finditer(pattern.removesuffix("/")):
        name, text = token["name"], token[0]
        if text in "{}":
            raise SourceError(
                f"The pattern '{pattern}' has a brace without its other: {{scan_id}} is meant?"
            )
        if name:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        else:
            parts.append(_GLOBS.get(text) or re.escape(text))
    return re.compile("".join(parts))


def generalise(
    paths: Sequence[str], scans: Layout | None = None, *, readers: bool = False
) -> Layout | None:
    """Find the pattern of paths.

    Args:
        paths: Relative, of one kind of thing.
        scans: The scans they belong to; without them, these are the scans: the first part that
            differs from path to path is the scan's id, or two parts that differ together, such as
            patient and day.
        readers: Whether another part names the reader even if there is one path for each scan.

    Returns:
        The pattern, or None if there is none: paths of different depths, or no part tells scans
        apart. Where several paths are one scan's, a part that comes again from scan to scan is the
        reader.
    """
    split = [path.split("/") for path in paths]
    if not split or len({len(parts) for parts in split}) > 1:
        return None
    columns = [*zip(*split, strict=True)]
    identified = _as_scans(paths, columns) if scans is None else _of_scans(paths, columns, scans)
    if identified is None:
        return None
    ids, pieces = identified
    if not any("{reader}" in piece for piece in pieces.values()):
        taken = {*pieces, *(_shared(columns, ids, scans) if scans else ())}
        reader = _reader(columns, ids, taken, readers)
        if reader is not None:
            is_file = reader == len(columns) - 1
            pieces[reader] = "{reader}" + (_ending(columns[reader]) if is_file else "")
    pattern = "/".join(pieces.get(n) or _glob(column) for n, column in enumerate(columns))
    return Layout(pattern, dict(zip(paths, ids, strict=True)))


def volume_suffix(name: str) -> str:
    """The ending of a file's name that gives its format, such as `.nii.gz`.

    Args:
        name: Of the file.
    """
    return next((s for s in VOLUME_SUFFIXES if name.endswith(s)), Path(name).suffix)


def _as_scans(paths: Sequence[str], columns: Columns) -> Identified | None:
    """Scan ids from one part of the paths, or from two."""
    varying = [n for n, column in enumerate(columns) if len(set(column)) > 1]
    alone = [n for n, column in enumerate(columns) if _all_differ(column)][:1]
    # Days alone are no scan ids where a part before, the patient, can go with them.
    if varying and varying[:1] < alone and all(map(_DAY.search, columns[alone[0]])):
        alone = []
    for places in [*zip(alone), *itertools.combinations(varying, 2)]:
        if _all_differ(*(columns[n] for n in places)):
            names = ("{scan_id}",) if len(places) == 1 else ("{patient}", "{study}")
            pieces = {
                n: name + (_ending(columns[n]) if len(paths) > 1 else volume_suffix(columns[n][0]))
                for n, name in zip(places, names, strict=True)
            }
            ids = _ids(paths, pieces)
            return (ids, pieces) if ids else None
    return None


def _of_scans(paths: Sequence[str], columns: Columns, scans: Layout) -> Identified | None:
    """Scan ids from a part that begins with one; else from the parts that tell the scans'."""
    known = {*scans.scan_ids.values()}
    for position, column in enumerate(columns):
        if begun := _beginning_with(column, known):
            return begun[0], {position: begun[1]}
    pieces = {n: piece for n, piece in enumerate(scans.pattern.split("/")) if "{" in piece}
    ids = _ids(paths, pieces) if max(pieces) < len(columns) else None
    return (ids, pieces) if ids and known.issuperset(ids) else None


def _ids(paths: Sequence[str], pieces: dict[int, str]) -> list[str] | None:
    """Values of the placeholders in each path; None if a path does not fit."""
    parts = (pieces.get(n, "*") for n in range(paths[0].count("/") + 1))
    expression = pattern_expression("/".join(parts))
    matches = [match for path in paths if (match := expression.fullmatch(path))]
    return ["_".join(m.groups()) for m in matches] if len(matches) == len(paths) else None


def _beginning_with(column: Sequence[str], ids: Collection[str]) -> tuple[list[str], str] | None:
    """The known scan id that each part begins with; what follows is constant, or the reader."""
    longest_first = sorted(ids, key=len, reverse=True)
    found = [next((i for i in longest_first if part.startswith(i)), "") for part in column]
    if not all(found):
        return None
    rests = [part.removeprefix(i) for part, i in zip(column, found, strict=True)]
    if len(set(rests)) == 1:
        return found, "{scan_id}" + rests[0]
    if all(rest[:1] == "_" for rest in rests) and _all_differ(found, rests):
        return found, "{scan_id}_{reader}" + _ending(rests)
    return None


def _shared(columns: Columns, ids: Sequence[str], scans: Layout) -> list[int]:
    """Folders in which each scan lies itself, so that they are no reader's."""
    paths = {scan_id: path.split("/") for path, scan_id in scans.scan_ids.items()}
    theirs = [*zip(*(paths[scan_id] for scan_id in ids), strict=True)]
    alike = zip(columns[:-1], theirs[:-1], strict=False)
    return [n for n, (column, folder) in enumerate(alike) if [*column] == [*folder]]


def _reader(
    columns: Columns, ids: Sequence[str], taken: Collection[int], readers: bool
) -> int | None:
    """The position of the part that names the reader, if one does."""
    several = not _all_differ(ids)
    for number, column in enumerate(columns):
        if number in taken or not _all_differ(ids, column):
            continue
        again = len(set(column)) < len(column) or len(set(ids)) == 1
        if again and (several or (readers and number < len(columns) - 1)):
            return number
    return None


def _all_differ(*columns: Sequence[str]) -> bool:
    return len({*zip(*columns, strict=True)}) == len(columns[0])


def _glob(column: Sequence[str]) -> str:
    if len(set(column)) == 1:
        return column[0]
    start = os.path.commonprefix(column)  # noqa: RUF071  # of characters: yes
    start = start[: max((start.rfind(s) for s in _SEPARATORS[:2]), default=-1) + 1]
    return f"{start}*{_ending(column)}"


def _ending(values: Sequence[str]) -> str:
    """The common ending of all, from a separator on."""
    common = os.path.commonprefix([value[::-1] for value in values])[::-1]  # noqa: RUF071
    places = [place for s in _SEPARATORS if (place := common.find(s)) >= 0]
    return common[min(places) :] if places else ""
