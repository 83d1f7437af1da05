"""The thirteen structures of a label map, in one list.

A label map is a uint8 volume: 0 is background, 1 to 12 are the organs in the order of the
COALA paper (Bereska et al. 2024, 10.1186/s13244-024-01820-7, "Methods"), 13 is CRLM, as in the
authors' released model.
"""

from __future__ import annotations

from dataclasses import dataclass

BACKGROUND = 0


@dataclass(frozen=True)
class Structure:
    """One structure of a label map.

    Attributes:
        id: Value in a label map.
        name: Name in files, frames and figures.
        totalsegmentator_id: Class id in TotalSegmentator's task `total`; None for CRLM.
        colour: Hex colour in overlays.
        snomed: SNOMED CT concept code.
    """

    id: int
    name: str
    totalsegmentator_id: int | None
    colour: str
    snomed: str


STRUCTURES = (
    Structure(1, "duodenum", 19, "#f6c667", "38848004"),
    Structure(2, "pancreas", 7, "#e8a33d", "15776009"),
    Structure(3, "adrenal_gland_right", 8, "#9bd1e5", "29392005"),
    Structure(4, "adrenal_gland_left", 9, "#6ab7d6", "38617008"),
    Structure(5, "spleen", 1, "#9d81ba", "78961009"),
    Structure(6, "gallbladder", 4, "#4caf50", "28231008"),
    Structure(7, "kidney_right", 2, "#d0845b", "9846003"),
    Structure(8, "kidney_left", 3, "#b86b42", "18639004"),
    Structure(9, "colon", 20, "#c9b27c", "71854001"),
    Structure(10, "stomach", 6, "#f2a6b3", "69695003"),
    Structure(11, "small_bowel", 18, "#e3d3a1", "30315005"),
    Structure(12, "liver", 5, "#a0522d", "10200004"),
    Structure(13, "crlm", None, "#e53935", "94381002"),
)

ORGANS = tuple(s for s in STRUCTURES if s.totalsegmentator_id is not None)
LIVER = next(s.id for s in STRUCTURES if s.name == "liver")
CRLM = next(s.id for s in STRUCTURES if s.name == "crlm")

STRUCTURE_IDS = [(s.id, s.totalsegmentator_id) for s in STRUCTURES]
"""Decides every label map; names and colours do not count."""

LABELS = {"background": BACKGROUND} | {s.name: s.id for s in STRUCTURES}
