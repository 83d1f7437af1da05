import re

import numpy as np
import pandas as pd
import pytest

from coala_kedro.report import Section, render

TABLE = pd.DataFrame(
    {
        "scan": ["a_pre", "<b>"],
        "dice": [0.123456789, np.nan],
        "n": [3, 4],
        "near": pd.array([True, None], dtype="boolean"),
    }
)


@pytest.fixture(scope="module")
def page():
    return render("A & B", [Section("Scans", "Some.", TABLE), Section("None", "No scan.")])


def test_numbers_are_shown_rounded_and_kept_whole(page):
    assert '<data value="0.123456789">0.123</data>' in page
    assert '<data value="3">3</data>' in page


def test_what_is_not_defined_is_a_dash(page):
    assert "<td>–</td>" in page
    assert not re.search(r"\bnan\b|&lt;NA", page, flags=re.IGNORECASE)


def test_text_is_escaped(page):
    assert "&lt;b&gt;" in page
    assert "<h1>A &amp; B</h1>" in page


def test_the_page_asks_the_network_for_nothing(page):
    assert not re.search(r"https?://", page)
    assert "<script" not in page


def test_every_section_is_in_the_contents(page):
    for number, title in ((1, "Scans"), (2, "None")):
        assert f'<a href="#s{number}">{title}</a>' in page
        assert f'<section id="s{number}">' in page
