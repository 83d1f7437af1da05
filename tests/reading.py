"""Reading the report as a person does: its figures, where they are from, and its words."""

import csv
import math
import re
from html.parser import HTMLParser

PLACE = re.compile(r"^(?P<file>[\w.]+\.csv), line (?P<line>\d+), (?P<column>\w+)$")
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d(?:[\d,]*\d)?(?:\.\d+)?")
SILENT = {"script", "style", "svg", "sup", "title"}
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """What a page shows.

    Attributes:
        figures: `(value, place, text)` of every `<data>`.
        missing: Words that stand for a figure.
        titles: Headings of sections.
        words: All other text, element by element.
    """

    def __init__(self, html):
        super().__init__()
        self.figures, self.missing, self.titles, self.words = [], [], [], []
        self._open = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag in VOID:
            return
        given = dict(attributes)
        self._open.append((tag, given))
        if tag == "data":
            self.figures.append([given["value"], given["data-at"], ""])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag, tag

    def handle_data(self, text):
        tags = [tag for tag, _ in self._open]
        if SILENT & {*tags} or not text.strip():
            return
        if "data" in tags:
            self.figures[-1][2] += text
        elif any(given.get("class") == "none" for _, given in self._open):
            self.missing.append(text)
        else:
            self.words.append((tags, text))
            if tags[-1] == "h2":
                self.titles.append(text)

    @property
    def loose_numbers(self):
        """Numbers in words; headings name classes, and the list of references has its own."""
        return [
            number
            for tags, text in self.words
            if not {"ol", "th"} & {*tags}
            for number in NUMBER.findall(text)
        ]


class Tables:
    """The CSVs of a folder, as text."""

    def __init__(self, folder):
        self._folder, self._read = folder, {}

    def text(self, place):
        """What stands in a CSV at a place of the page."""
        found = PLACE.match(place)
        assert found, place
        name = found["file"]
        if name not in self._read:
            with (self._folder / name).open(newline="") as file:
                self._read[name] = [*csv.DictReader(file)]
        return self._read[name][int(found["line"]) - 2][found["column"]]


def is_value_of(value, text):
    """Whether a figure's value is what the CSV says."""
    if value == text:
        return True
    try:
        return math.isclose(float(value), float(text), rel_tol=1e-12)
    except ValueError:
        return False


def is_rounding_of(shown, value):
    """Whether what is shown is the value, rounded to the digits shown."""
    if shown in {value, value.replace("_", " ")} or {shown, value} <= {
        "yes",
        "no",
        "True",
        "False",
    }:
        return True
    percent, text = shown.endswith("%"), shown.rstrip("%").replace("−", "-").replace(",", "")
    number = float(value) * (100 if percent else 1)
    if text.startswith("< "):
        return number < float(text[2:])
    mantissa, _, exponent = text.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return abs(float(text) - number) <= 0.5 * 10**-decimals * (1 + 1e-9)
