"""Patterns of paths without the names that paths hold."""

from __future__ import annotations

import re

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
"""Of a number that tells neither a day nor a patient."""


def is_anonymous(text: str) -> bool:
    """Whether all its words are known to be nobody's name, and its numbers are short."""
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
    pieces = [
        piece if _PLACEHOLDER.fullmatch(piece) else _WORD.sub(_known_or_star, piece)
        for piece in [before, *rest]
    ]
    return re.sub(r"\*[*\s]*", "*", "".join(pieces))


def _is_known(word: str) -> bool:
    return len(word) <= _MAX_DIGITS if word.isdecimal() else word.lower() in _KNOWN_WORDS


def _known_or_star(word: re.Match[str]) -> str:
    return word[0] if _is_known(word[0]) else "*"
