import json
import re

import pandas as pd
import pytest
from markupsafe import Markup

from coala_kedro.report.canvas import dots, panels
from coala_kedro.report.cells import Source
from coala_kedro.report.page import (
    Cards,
    Flow,
    Flows,
    Fold,
    Picture,
    Plot,
    References,
    Section,
    Table,
    render,
)
from coala_kedro.report.tables import whole_table

SOURCE = Source("scans.csv", pd.DataFrame({"scan": ["a_pre", "<b>"], "n": [3, 4]}))
TABLE = whole_table(SOURCE, {"scan": "scan", "n": "lesions"}, "Some & all.")


def plot():
    figure = panels(["</script>"], "x", "y")
    dots(figure, 0, [1, 2], [3, 4], "teacher", 0)
    return Plot("A plot.", figure, "some_plot")


@pytest.fixture(scope="module")
def page():
    sections = [
        Section("Scans", ["Words <i>.", TABLE, None]),
        Section("Others", [
            plot(),
            Picture("A picture.", b"png", "what it shows"),
            Flows([Flow("In", [("came", ""), ("used", "3 left")], ["tested"])]),
            Cards([("7", "of them")]),
            References([Markup("One.")]),
            Fold("More", [TABLE]),
        ], short="Rest"),
    ]  # fmt: skip
    return render("A & B", "The lead.", sections)


def test_text_is_escaped(page):
    assert "&lt;b&gt;" in page
    assert "Words &lt;i&gt;." in page
    assert "<h1>A &amp; B</h1>" in page


def test_every_section_is_in_the_contents(page):
    for anchor, title in (("scans", "Scans"), ("rest", "Rest")):
        assert f'<a href="#{anchor}">{title}</a>' in page
        assert f'<section id="{anchor}">' in page


def test_a_table_tells_its_csv_and_each_cell_its_line(page):
    assert 'Some &amp; all. <span class="source">scans.csv</span>' in page
    assert '<td><data value="4" data-at="scans.csv, line 3, n">4</data></td>' in page
    assert page.count("<details>") == 1


def test_columns_of_a_group_stand_under_one_heading():
    table = Table("", ["", ("internal", "a"), ("internal", "b"), ("external", "a")], [])
    assert table.groups == [("", 1), ("internal", 2), ("external", 1)]
    assert table.headings == ["", "a", "b", "a"]
    assert Table("", ["a", "b"], []).groups == []


def test_a_plot_is_data_for_the_screen_and_a_still_for_print(page):
    (data,) = re.findall(r'data-for="plot-some_plot">(.*?)</script>', page)
    assert json.loads(data)["data"][0]["y"] == [3, 4]
    assert json.loads(data)["layout"]["annotations"][0]["text"] == "</script>"
    assert "<svg" in page.split('class="still"')[1]


def test_plotly_is_there_once_and_only_if_it_is_needed(page):
    assert page.count("plotly.js v") == 1
    assert len(render("A", "", [Section("B", [TABLE])])) < 20_000


def test_the_browser_is_forbidden_to_ask_the_network(page):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:", policy)
    outside = re.sub(r"<(script|svg|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", outside)
