"""Keeping the names that paths hold out of sight: files are at times named after patients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coala_kedro.sources.choice import SourceError
from coala_kedro.spreadsheet import as_meant
from coala_kedro.tables import TableError, as_id, read_table
from coala_kedro.temporary import temporary_folder

_KNOWN_WORDS = frozenset(
    """
    abdomen annotation annotations arterial axial contour contours crlm ct data dcm dicom export
    external gz hu ima image images img imgs internal label labels labelmap lesion lesions liver
    manual mask masks metastases metastasis mha mhd nhdr nifti nii nrrd organ organs outline
    outlines pacs phase portal post pre rater raters raw reader readers roi rois scan scans seg
    segmentation segmentations segs series src studies study test thick thin train tumor tumors
    tumour tumours unlabelled venous volume volumes
    """.split()  # noqa: SIM905
)
"""Words of paths that are nobody's name."""

_WORD = re.compile(r"[^\W\d_]+|\d+")
_PLACEHOLDER = re.compile(r"(\{\w+\})")
_WHOSE = ("{reader}", "{organ}")
_FORMAT = re.compile(r"(\.(nii|gz|nrrd|nhdr|mha|mhd|dcm|ima))*$", re.IGNORECASE)
_MAX_DIGITS = 2
"""Of a number that can be neither a day nor a patient's."""
_DETACHED = (".mhd", ".nhdr", ".hdr", ".img")


def is_anonymous(text: str) -> bool:
    """Whether all words of a text are known to be nobody's name, and its numbers are short.

    Args:
        text: Part of a path.
    """
    return all(map(_is_known, _WORD.findall(text)))


def anonymous_pattern(pattern: str) -> str:
    """A pattern that keeps its placeholders and known words; `*` stands for every other word.

    A placeholder that has nothing but unknown words around it in its part of the path takes them
    in: `{scan_id}_*` would fit the `1` of `1_2_Mueller`, `{scan_id}` fits all of it.

    Args:
        pattern: As `find_volumes` takes it.
    """
    return "/".join(map(_anonymous_part, pattern.split("/")))


def _anonymous_part(part: str) -> str:
    before, *rest = _PLACEHOLDER.split(part)
    if len(rest) == 2 and rest[0] not in _WHOSE and not is_anonymous(before + rest[1]):
        ending = _FORMAT.search(rest[1])[0]  # type: ignore[index]  # it may be empty
        words = _WORD.findall(before + rest[1].removesuffix(ending))
        if not any(map(_is_known, words)):
            return rest[0] + ending
    stars = re.sub(_PLACEHOLDER.pattern + f"|{_WORD.pattern}", _known_or_star, part)
    return re.sub(r"\*[*\s]*", "*", stars)


def _is_known(word: str) -> bool:
    return len(word) <= _MAX_DIGITS if word.isdecimal() else word.lower() in _KNOWN_WORDS


def _known_or_star(match: re.Match[str]) -> str:
    return match[0] if match[1] or _is_known(match[0]) else "*"


def read_pseudonyms(file: str | Path) -> dict[str, str]:
    """Read which scan id stands for what the paths tell.

    Args:
        file: CSV or Excel, with the columns `found` and `scan_id`.

    Raises:
        SourceError: There is no such file or column, or something has two scan ids, or none.
    """
    try:
        table = as_meant(read_table(Path(file).read_bytes()))
    except (OSError, TableError) as error:
        raise SourceError(f"The pseudonyms {file} cannot be read: {error}.") from None
    table.columns = table.columns.str.lower()
    if absent := [name for name in ("found", "scan_id") if [*table].count(name) != 1]:
        raise SourceError(
            f"The pseudonyms {file} lack the column {', '.join(absent)}, or have two."
        )
    table["scan_id"] = table["scan_id"].map(as_id)
    wrong = table["found"].duplicated() | table["scan_id"].duplicated() | table["scan_id"].eq("")
    if wrong.any():
        rows = ", ".join(str(row) for row in table.index[wrong])
        raise SourceError(
            f"The pseudonyms {file}, line {rows}: every scan needs one scan id of its own."
        )
    return dict(zip(table["found"], table["scan_id"], strict=True))


@contextmanager
def under_no_name(path: Path) -> Iterator[Path]:
    """Link a file under a neutral name within the block.

    The libraries that read volumes print paths where no program can catch them (the NIfTI library
    on standard error).

    Args:
        path: The file. A header or its data file is left as it is, for one names the other.

    Yields:
        A link to it, with its suffix, in a temporary folder.
    """
    if path.name.lower().removesuffix(".gz").endswith(_DETACHED):
        yield path
        return
    compressed = path.suffix.lower() == ".gz"
    suffix = "".join(path.suffixes[-2:]) if compressed else path.suffix
    with temporary_folder("coala_read_") as folder:
        link = folder / f"volume{suffix}"
        link.symlink_to(path.absolute())
        yield link
