"""Catalog entries, files and messages that are proposed for a hospital."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from coala_kedro.sources.anonymous import anonymous_pattern, is_anonymous
from coala_kedro.sources.patterns import Layout

Entry = dict[str, Any]

_METADATA = {"kedro-viz": {"layer": "raw"}}

NO_MASKS: Entry = {"type": "kedro.io.MemoryDataset", "data": {}, "metadata": _METADATA}
TOTALSEGMENTATOR: Entry = {
    "type": "coala_kedro.organs.OrganSegmenterDataset",
    "segmenter": "totalsegmentator",
    "metadata": _METADATA,
}
_INSTEAD = {"raw_reader_masks": NO_MASKS, "organ_segmenter": TOTALSEGMENTATOR}
"""Written where nothing better loads; the entries of `conf/base` may be another hospital's."""

_COMMENTS = {
    "scan_table": "One row a scan; check it and fill in what is empty.",
    "raw_scans": "Portal-venous CT.",
    "raw_reader_masks": "Lesions as the readers outlined them; without a path, nobody did.",
    "organ_segmenter": "What outlines the organs.",
}


@dataclass
class Proposal:
    """A proposal for a hospital: what to write, and messages to show.

    Attributes:
        folder: The hospital's, absolute.
        place: Where its scan table lies, relative to the project.
        hides_names: Whether names of files, folders and segments may tell who somebody is. Entries
            then have patterns without names, a link for the folder, and pseudonyms.
        found: What the folder holds, a line each.
        to_check: What the files do not tell, or does not load, and what to do about it.
        entries: Of the catalog, by name.
        rejected: Entries that do not load as they were proposed.
        files: What to write, by path below the project: texts, and a folder for a link to it.
    """

    folder: Path
    place: str
    hides_names: bool
    found: list[str] = field(default_factory=list)
    to_check: list[str] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    rejected: dict[str, Entry] = field(default_factory=dict)
    files: dict[str, str | Path] = field(default_factory=dict)

    def shown(self, names: Collection[str]) -> str:
        """A few of the names, or only how many there are where names are hidden.

        Args:
            names: Of readers, labels or files.
        """
        return f"{len(names)}, whose names are not shown" if self.hides_names else examples(names)

    def pattern(self, layout: Layout) -> str:
        """The layout's pattern, without names where these are hidden.

        Args:
            layout: Of scans or masks.
        """
        if not self.hides_names:
            return layout.pattern
        pattern = anonymous_pattern(layout.pattern)
        # What stands for {reader} may be a patient's, if its words are not known and come once.
        counts = Counter(layout.readers).items()
        are_readers = all(n > 1 or is_anonymous(reader) for reader, n in counts)
        return pattern if are_readers else pattern.replace("{reader}", "*")

    def scan_table(self) -> Entry:
        """The entry of the scan table."""
        return {
            "type": "coala_kedro.datasets.ScanTableDataset",
            "filepath": f"{self.place}/scans.csv",
            "metadata": {"kedro-viz": {"layer": "raw", "preview": False}},
        }

    def volumes(self, layout: Layout, format: str) -> Entry:
        """The catalog entry of scans or masks.

        Args:
            layout: Where they lie.
            format: As `find_volumes` takes it.
        """
        return {
            "type": "coala_kedro.datasets.HospitalVolumesDataset",
            **self._where(layout),
            "format": format,
            "metadata": _METADATA,
        }

    def organs(self, layout: Layout) -> Entry:
        """The catalog entry of organ masks that the hospital already has.

        Args:
            layout: Where they lie.
        """
        return TOTALSEGMENTATOR | {"segmenter": "existing_masks"} | self._where(layout)

    def _where(self, layout: Layout) -> Entry:
        if not self.hides_names:
            return {"path": str(self.folder), "pattern": layout.pattern}
        kept = {"path": f"{self.place}/source", "pseudonyms": f"{self.place}/pseudonyms.csv"}
        return kept | {"pattern": self.pattern(layout)}

    def reject(self, key: str, reason: str) -> None:
        """Note that an entry does not load, and replace it by one that does, if there is one.

        Args:
            key: The entry's name.
            reason: Why it does not load.
        """
        self.to_check.append(f"{key} does not load yet: {reason}")
        if instead := _INSTEAD.get(key.split(".")[1]):
            self.rejected[key], self.entries[key] = self.entries[key], instead

    def catalog(self, name: str) -> str:
        """The text of the hospital's `catalog.yml`; rejected entries stand there as comments.

        Args:
            name: The hospital's.
        """
        parts = [
            f"# The hospital '{name}': what `kedro hospital new` proposed. Read it and mend it.\n"
        ]
        for key, entry in self.entries.items():
            text = f"# {_COMMENTS[key.split('.')[1]]}\n{_yaml(key, entry)}"
            if key in self.rejected:
                text += "# What was proposed does not load yet:\n"
                text += textwrap.indent(_yaml(key, self.rejected[key]), "#   ")
            parts.append(text)
        return "\n".join(parts)


def _yaml(key: str, entry: Entry) -> str:
    return yaml.safe_dump({key: entry}, sort_keys=False, allow_unicode=True)


def examples(values: Collection[str], shown: int = 5) -> str:
    """A few of many values, sorted and joined by commas.

    Args:
        values: Texts.
        shown: How many of them to show.
    """
    return ", ".join(sorted(values)[:shown] + ["..."] * (len(values) > shown))
