"""Finding a hospital's volumes by a pattern of their paths."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from coala_kedro.imaging.dicom_stacks import SeriesChoice
from coala_kedro.imaging.files import VolumeError
from coala_kedro.sources.choice import Segments, Values, choice_complaint, chosen, readers, several
from coala_kedro.sources.patience import refuse_absent_bucket
from coala_kedro.sources.storage import check_location, local_path, open_storage, retried
from coala_kedro.sources.volume import Format, SourceVolume
from coala_kedro.sources.walk import walked

_WHOSE = ("reader", "organ")
"""Placeholders that do not tell the scan; each of the others is a part of its id."""

_TOKEN = re.compile(r"\{(?P<name>\w+)\}|\*\*/|\*\*|\*|\?|[^{}*?]+|.", re.DOTALL)
_GLOBS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_SUFFIXES = (
    ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima", ".csv", ".json", ".pdf",
    ".png", ".txt", ".xlsx", ".xml", ".zip",
)  # fmt: skip
"""Endings of names that tell a format, not a patient."""


class SourceError(ValueError):
    """A hospital's folder is not as the entry describes it, or the entry cannot be right."""


def find_volumes(
    path: str,
    pattern: str,
    format: Format = "volume",
    segments: Segments = "",
    storage_options: Mapping[str, Any] | None = None,
    *,
    resample: bool = False,
    series: SeriesChoice | None = None,
    correct_tilt: bool = False,
    pseudonyms: Mapping[str, str] | None = None,
    values: Values = None,
) -> dict[str, SourceVolume]:
    """Find the volumes below a folder whose paths fit a pattern. Hidden ones are left out.

    Args:
        path: Local folder, or URL of a remote one.
        pattern: Path below it, with `{scan_id}`, or several placeholders that make the scan's id,
            joined by `_`; `{reader}` or `{organ}` may be there too. Each stands for a part of a
            path or a piece of one, for the same if it comes twice; `*` and `?` for any characters
            of a part, `**` for any parts. For `dicom_series` it fits folders that hold files.
        format: What they are.
        segments: Of `dicom_seg`, `rtstruct` and `.seg.nrrd`: a regular expression for the labels,
            or one for each reader.
        storage_options: What fsspec needs to open a URL.
        resample: Whether the volumes are masks that may lie on another grid than their scan.
        series: Of `dicom_series`: which one, where a folder has several.
        correct_tilt: Of `dicom_series`: whether tilted gantries are corrected.
        pseudonyms: Scan ids by what the paths tell; what has none is left out.
        values: Of label files: the values that are the mask, or those for each reader.

    Returns:
        The volumes, sorted, by `<scan_id>`, or by `<reader>/<scan_id>` if the pattern has a
        `{reader}` or `{organ}`, or there are segments or values for each reader.

    Raises:
        SourceError: As `check_layout`; nothing fits, two volumes fit one scan (and reader), or a
            folder cannot be read.
        DownloadError: A remote folder cannot be listed.
    """
    check_layout(path, pattern, format, segments, values)
    options = storage_options or {}
    found = _keys(path, pattern, _listed(path, format, options, _depth(pattern)), pseudonyms)
    if not found:
        raise SourceError(_absence(path, pattern, format, options, pseudonyms))
    volumes = {}
    for reader, (key, name) in itertools.product(readers(pattern, segments, values), found.items()):
        whose = reader or key.rpartition("/")[0]
        volumes[f"{reader}/{key}" if reader else key] = SourceVolume(
            _joined(path, name),
            format,
            chosen(segments, whose),
            options,
            resample,
            _alias(path, key, name),
            tuple(several(_told(values, whose))),
            series,
            correct_tilt,
        )
    return dict(sorted(volumes.items()))


def _keys(
    path: str, pattern: str, names: Iterable[str], pseudonyms: Mapping[str, str] | None
) -> dict[str, str]:
    """The names that fit the pattern, by what they tell.

    Raises:
        SourceError: Two tell the same.
    """
    fits = pattern_expression(pattern)
    found: dict[str, str] = {}
    for name in sorted(names):
        match = fits.fullmatch(name)
        if not match or (key := _key(match, pseudonyms)) is None:
            continue
        if key in found:
            raise SourceError(_ambiguity(path, pattern, key, (found[key], name)))
        found[key] = name
    return found


def _told(values: Values, reader: str) -> Any:
    try:
        return chosen(values, reader)
    except KeyError:
        raise SourceError(
            f"The entry's `values` tell nothing of {reader}, but there are masks of this reader: "
            "tell those of each reader, or narrow the pattern."
        ) from None


def check_layout(
    path: str,
    pattern: str,
    format: str,
    segments: Segments,
    values: Values = None,
) -> None:
    """Check what can be checked of `find_volumes`' arguments without looking anywhere.

    Raises:
        SourceError: Nothing in the pattern tells the scan, or too much whose it is, there is no
            such format, `segments` is missing, misplaced or no regular expression, `values` are
            misplaced or no labels, or the URL is of a kind that cannot be opened here or has a
            password in it.
    """
    try:
        check_location(path)
    except VolumeError as error:
        raise SourceError(str(error)) from None
    if format not in get_args(Format):
        raise SourceError(f"There is no format '{format}'. Allowed: {', '.join(get_args(Format))}.")
    expression = pattern_expression(pattern)
    whose = [name for name in expression.groupindex if name in _WHOSE]
    if len(whose) == len(expression.groupindex) or len(whose) > 1:
        raise SourceError(
            f"The pattern '{pattern}' must have {{scan_id}} and may have {{reader}} or {{organ}}: "
            "'{reader}/{scan_id}.nii.gz'."
        )
    if pattern.startswith("/") or ".." in PurePosixPath(pattern).parts:
        raise SourceError(f"The pattern '{pattern}' must be a path below `path`.")
    if complaint := choice_complaint(pattern, format, segments, values, whose):
        raise SourceError(complaint)


def pattern_expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern; its groups are the placeholders.

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


def _key(match: re.Match[str], pseudonyms: Mapping[str, str] | None) -> str | None:
    """`<scan_id>` or `<reader>/<scan_id>`; None if the scan has no pseudonym."""
    groups = match.groupdict()
    whose = [groups.pop(name) for name in _WHOSE if name in groups]
    told: str | None = "_".join(groups.values())
    scan_id = told if pseudonyms is None else pseudonyms.get(told or "")
    return None if scan_id is None else "/".join([*whose, scan_id])


def _alias(path: str, key: str, name: str) -> str:
    """What to call a volume whose path has more in it than its key: the entry's folder."""
    return "" if name.removeprefix(key) in ("", *_SUFFIXES) else f"{path.rstrip('/')}/…"


def _depth(pattern: str) -> int | None:
    return None if "**" in pattern else len(PurePosixPath(pattern).parts)


def _listed(
    path: str, format: str, storage_options: Mapping[str, Any], depth: int | None = None
) -> Iterator[str]:
    """Files below a folder, or the folders that hold files; relative, without hidden ones.

    Folders deeper than `depth` are not looked into.
    """
    root = local_path(path)
    folders = format == "dicom_series"
    if root is not None:
        yield from walked(root, folders, depth, partial(_refuse, root))
        return
    fs, place = open_storage(path, storage_options)
    place = place.rstrip("/")
    names = [name[len(place) :].lstrip("/") for name in retried(path, lambda: _find(fs, place))]
    shown = [name for name in names if not any(p.startswith(".") for p in name.split("/"))]
    yield from {name.rpartition("/")[0] for name in shown} if folders else shown


def _find(fs: Any, place: str) -> list[str]:
    fs.invalidate_cache()
    try:
        found = fs.find(place)
    except FileNotFoundError:
        found = []
    if not found:
        refuse_absent_bucket(fs, place)
    return found


def _refuse(root: Path, error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise SourceError(
            f"A folder below {root} cannot be read ({error.strerror}), and its scans would be "
            f"missing. Make it readable; `find {root} ! -readable` names it."
        )


def _joined(path: str, name: str) -> str:
    root = local_path(path)
    return f"{path.rstrip('/')}/{name}" if root is None else str(root.absolute() / name)


def _ambiguity(path: str, pattern: str, key: str, names: tuple[str, str]) -> str:
    """Say that two volumes fit one scan, and where they differ; their names may tell who it is."""
    parts = itertools.zip_longest(*(name.split("/") for name in names))
    differ = [str(n) for n, (one, other) in enumerate(parts, start=1) if one != other]
    return (
        f"Two fit '{key}' below {path}: their paths differ in part {', '.join(differ)}. Narrow the "
        f"pattern '{pattern}' so that it fits one of them, or move the other away."
    )


def _absence(
    path: str,
    pattern: str,
    format: str,
    storage_options: Mapping[str, Any],
    pseudonyms: Mapping[str, str] | None,
) -> str:
    """Say that nothing fits, and what is there instead: what it is like, not what it is called."""
    if pseudonyms is not None:
        return (
            f"Nothing below {path} fits the pattern '{pattern}' and has a pseudonym. Mend the "
            "entry's path, pattern or format, or the file of its `pseudonyms`."
        )
    root = local_path(path)
    if root is not None and not root.is_dir():
        return (
            f"There is no folder {root}: mend the entry's path, or run the step that makes it. "
            f"'{pattern}' was looked for in it."
        )
    what = "folder with files" if format == "dicom_series" else "file"
    there = Counter(map(_shape, _listed(path, format, storage_options)))
    shapes = ", ".join(f"{shape} ({n})" for shape, n in sorted(there.items()))
    return (
        f"No {what} below {path} fits the pattern '{pattern}'. "
        + (f"There are: {shapes}. Mend the pattern" if there else "There is none at all. Mend")
        + " the entry's path or its format."
    )


def _shape(name: str) -> str:
    """A path without its names: `*/*/*.nii.gz`."""
    ending = next((s for s in _SUFFIXES if name.lower().endswith(s)), "")
    return "/".join(["*"] * len(PurePosixPath(name).parts)) + ending
