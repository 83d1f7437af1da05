"""Finding a hospital's volumes by a pattern of their paths."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, get_args
from urllib.parse import urlsplit

import fsspec

from coala_kedro.imaging.dicom_stacks import SeriesChoice
from coala_kedro.sources.choice import (
    Segments,
    SourceError,
    Values,
    check_choice,
    chosen,
    readers,
    several,
)
from coala_kedro.sources.patterns import pattern_expression
from coala_kedro.sources.source_volume import Format, SourceVolume
from coala_kedro.sources.storage import Remote, local_path

_WHOSE = ("reader", "organ")
"""Placeholders that do not tell the scan; each of the others is a part of its id."""

_SUFFIXES = (
    ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima", ".csv", ".json", ".pdf",
    ".png", ".txt", ".xlsx", ".xml", ".zip",
)  # fmt: skip
"""Endings of names that tell a format, not a patient."""
_OF_THE_SYSTEM = ("lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir")
"""Folders that a disk has of its own, and that only its system may read."""


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
    found = _keys(path, pattern, _listed(path, format, options, pattern), pseudonyms)
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
            alias=_alias(path, key, name),
            values=tuple(several(chosen(values, whose))),
            series=series,
            correct_tilt=correct_tilt,
        )
    return dict(sorted(volumes.items()))


def _keys(
    path: str, pattern: str, names: Iterable[str], pseudonyms: Mapping[str, str] | None
) -> dict[str, str]:
    """The names that fit the pattern, by `<scan_id>` or `<reader>/<scan_id>`.

    Raises:
        SourceError: Two are one scan's (and reader's).
    """
    fits = pattern_expression(pattern)
    found: dict[str, str] = {}
    for name, match in ((name, fits.fullmatch(name)) for name in sorted(names)):
        groups = match.groupdict() if match else {}
        whose = [groups.pop(placeholder) for placeholder in _WHOSE if placeholder in groups]
        scan_id = "_".join(groups.values())
        if not match or (pseudonyms is not None and scan_id not in pseudonyms):
            continue
        key = "/".join([*whose, scan_id if pseudonyms is None else pseudonyms[scan_id]])
        if key in found:
            raise SourceError(_ambiguity(path, pattern, key, (found[key], name)))
        found[key] = name
    return found


def _joined(path: str, name: str) -> str:
    root = local_path(path)
    return f"{path.rstrip('/')}/{name}" if root is None else str(root.absolute() / name)


def _alias(path: str, key: str, name: str) -> str:
    """Name of a volume whose path holds more than its key: the entry's folder."""
    return "" if name.removeprefix(key) in ("", *_SUFFIXES) else f"{path.rstrip('/')}/…"


def check_layout(
    path: str, pattern: str, format: str, segments: Segments, values: Values = None
) -> None:
    """Check the arguments of `find_volumes` without reading the folder.

    Args:
        path: As `find_volumes` takes it.
        pattern: As `find_volumes` takes it.
        format: As `find_volumes` takes it.
        segments: As `find_volumes` takes it.
        values: As `find_volumes` takes it.

    Raises:
        SourceError: The pattern has no placeholder for the scan or several for the reader, there
            is no such format, `segments` or `values` are missing, misplaced or not what they must
            be, or the URL is of a kind that cannot be opened here or has a password in it.
    """
    if local_path(path) is None:
        url = urlsplit(path)
        if url.password:
            raise SourceError("A password in a URL would be logged: give it under `credentials`.")
        try:
            fsspec.get_filesystem_class(url.scheme)
        except (ImportError, ValueError) as error:
            raise SourceError(f"{path} cannot be opened: {error}.") from None
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
    check_choice(pattern, format, segments, values)
    if isinstance(segments, Mapping) and whose:
        raise SourceError(
            f"With `segments` for each of {', '.join(segments)} the pattern cannot have "
            f"{{{whose[0]}}} too; or give `segments` as one regular expression."
        )


def find_local(
    root: Path,
    folders: bool = False,
    depth: int | None = None,
    unreadable: Callable[[OSError], None] | None = None,
) -> Iterator[str]:
    """Files below a local folder, or the folders that hold files; relative, sorted, none hidden.

    Args:
        root: The folder. Links below it are followed, but not to a folder that they lie in.
        folders: Whether to find folders that hold files, instead of files.
        depth: Of the deepest paths that are wanted, in parts; None for all.
        unreadable: Called with the error where a folder cannot be read.
    """
    for place, below, files in os.walk(root, followlinks=True, onerror=unreadable):
        parts = Path(place).relative_to(root).parts
        seen = sorted(name for name in files if not name.startswith("."))
        if folders and seen:
            yield "/".join(parts)
        elif not folders:
            yield from ("/".join([*parts, name]) for name in seen)
        if depth is not None and len(parts) + (not folders) >= depth:
            below.clear()
        shown = (n for n in below if not n.startswith(".") and n not in _OF_THE_SYSTEM)
        below[:] = sorted(name for name in shown if not _loops(Path(place, name)))


def _loops(folder: Path) -> bool:
    """Whether it is a link to a folder that it lies in."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _listed(
    path: str, format: str, storage_options: Mapping[str, Any], pattern: str = "**"
) -> Iterable[str]:
    """Files, or folders that hold files, no deeper than the pattern; relative, none hidden."""
    root, folders = local_path(path), format == "dicom_series"
    depth = None if "**" in pattern else len(PurePosixPath(pattern).parts)
    if root is None:
        return Remote(path, storage_options).find(folders)

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise SourceError(
                f"A folder below {root} cannot be read ({error.strerror}), and its scans would be "
                f"missing. Make it readable; `find {root} ! -readable` names it."
            )

    return find_local(root, folders, depth, refuse)


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
