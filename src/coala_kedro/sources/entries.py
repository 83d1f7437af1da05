"""What is proposed for a hospital: catalog entries, files, and what is said of them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from coala_kedro.sources.anonymous import anonymous_pattern, is_anonymous
from coala_kedro.sources.search import pattern_expression
from coala_kedro.sources.survey import Layout

Entry = dict[str, Any]

_RAW_LAYER = {"kedro-viz": {"layer": "raw"}}

NO_MASKS: Entry = {"type": "kedro.io.MemoryDataset", "data": {}, "metadata": _RAW_LAYER}
TOTALSEGMENTATOR: Entry = {
    "type": "coala_kedro.organs.OrganSegmenterDataset",
    "segmenter": "totalsegmentator",
    "metadata": _RAW_LAYER,
}
INSTEAD = {"raw_reader_masks": NO_MASKS, "organ_segmenter": TOTALSEGMENTATOR}
"""Where nothing better is told; the entries of `conf/base` may be another hospital's."""

_COMMENTS = {
    "scan_table": "One row a scan; check it and fill in what is empty.",
    "raw_scans": "Portal-venous CT.",
    "raw_reader_masks": "Lesions as the readers outlined them; without a path, nobody did.",
    "organ_segmenter": "What outlines the organs.",
}


def volumes_entry(folder: Path, pattern: str, format: str) -> Entry:
    """Of scans or masks below a hospital's folder."""
    return {
        "type": "coala_kedro.datasets.HospitalVolumesDataset",
        "path": str(folder),
        "pattern": pattern,
        "format": format,
        "metadata": _RAW_LAYER,
    }


def scan_table_entry(name: str, cohort: str) -> Entry:
    """Of the scan table that is proposed beside it."""
    return {
        "type": "coala_kedro.datasets.ScanTableDataset",
        "filepath": f"data/01_raw/{name}/{cohort}/scans.csv",
        "metadata": {"kedro-viz": {"layer": "raw", "preview": False}},
    }


@dataclass
class Proposal:
    """What to write for a hospital and what to say.

    Attributes:
        found: What the folder holds, a line each.
        untold: What could not be told and what to do about it.
        entries: Of the catalog, by name.
        aside: Entries that do not load as they were proposed.
        files: Other texts by path below the project.
        links: Folders by path below the project, where a link stands for them.
        hides_names: Whether names of files, folders and segments may tell who somebody is.
    """

    found: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    aside: dict[str, Entry] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, Path] = field(default_factory=dict)
    hides_names: bool = False

    def shown(self, names: Collection[str]) -> str:
        """A few of the names, or how many there are where nobody is to see them."""
        if self.hides_names:
            return f"{len(names)}, whose names are not shown"
        return ", ".join(examples(names))

    def pattern(self, layout: Layout) -> str:
        """The layout's pattern; without names where nobody is to see them."""
        if not self.hides_names:
            return layout.pattern
        pattern = anonymous_pattern(layout.pattern)
        return pattern if _are_readers(layout) else pattern.replace("{reader}", "*")

    def link(self, folder: Path, place: str) -> None:
        """Let entries name a link to the hospital's folder, whose path may have names in it."""
        self.links[place] = folder
        for entry in self.entries.values():
            if entry.get("path") == str(folder):
                entry["path"] = place

    def put_aside(self, key: str, reason: str) -> None:
        """Note that an entry does not load, and have one that does instead if there is one."""
        self.untold.append(f"{key} does not load yet: {reason}")
        if instead := INSTEAD.get(key.split(".")[1]):
            self.aside[key], self.entries[key] = self.entries[key], instead

    def catalog(self, name: str) -> str:
        """The text of the hospital's `catalog.yml`; what was put aside stands as comments."""
        parts = [
            f"# The hospital '{name}': what `kedro hospital new` proposed. Read it and mend it.\n"
        ]
        for key, entry in self.entries.items():
            text = f"# {_COMMENTS[key.split('.')[1]]}\n{_yaml(key, entry)}"
            if key in self.aside:
                text += "# What was proposed does not load yet:\n"
                text += textwrap.indent(_yaml(key, self.aside[key]), "#   ")
            parts.append(text)
        return "\n".join(parts)


def found_by(pattern: str, layout: Layout) -> dict[str, str]:
    """What the placeholders of a pattern stand for, by the scan id that the layout tells."""
    fits = pattern_expression(pattern)
    matches = {scan_id: fits.fullmatch(path) for path, scan_id in layout.scan_ids.items()}
    return {i: "_".join(match.groups()) if match else i for i, match in matches.items()}


def _are_readers(layout: Layout) -> bool:
    """Whether what stands for {reader} is no patient's: it is of known words, or comes again."""
    if "{reader}" not in layout.pattern:
        return True
    fits = pattern_expression(layout.pattern)
    readers = [match["reader"] for path in layout.scan_ids if (match := fits.fullmatch(path))]
    return all(n > 1 or is_anonymous(reader) for reader, n in Counter(readers).items())


def _yaml(key: str, entry: Entry) -> str:
    return yaml.safe_dump({key: entry}, sort_keys=False, allow_unicode=True)


def examples(values: Collection[str], shown: int = 5) -> Iterator[str]:
    """A few of many values, sorted."""
    yield from sorted(values)[:shown]
    if len(values) > shown:
        yield "..."
