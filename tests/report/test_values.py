import numpy as np
import pandas as pd
import pytest

from coala_kedro.report.values import Frame, Table, shown

SUMMARY = Frame(
    "summary.csv",
    pd.DataFrame(
        {
            "model": ["a", "b", "c", "d"],
            "metric": ["dice_mean"] * 3 + ["n_both_empty"],
            "value": [0.123456789, np.nan, 0.5, 7.0],
            "ci_low": [0.1, np.nan, np.nan, np.nan],
            "ci_high": [0.2, np.nan, np.nan, np.nan],
            "note": ["", "no scan", "one patient: no interval", "a count: no interval"],
        }
    ),
)


def html(model):
    return SUMMARY.number(model=model).__html__()


def test_a_figure_is_shown_rounded_and_carries_its_value_and_place():
    assert html("a").startswith(
        '<data value="0.123456789" data-at="summary.csv, line 2, value">0.12</data>'
    )
    assert '<data value="0.2" data-at="summary.csv, line 2, ci_high">0.20</data>' in html("a")
    assert "ci_high" not in SUMMARY.number(model="a").alone.__html__()


def test_what_is_not_defined_is_its_reason():
    assert html("b") == '<span class="none">no scan</span>'


def test_a_figure_without_interval_says_why_unless_it_never_has_one():
    assert html("c").endswith("(one patient: no interval)</span>")
    assert html("d").endswith(">7</data>")


def test_a_figure_that_no_row_has_is_words():
    assert SUMMARY.number(model="z").__html__() == '<span class="none">no such scans</span>'


def test_a_figure_of_two_rows_is_refused():
    doubled = Frame("x.csv", pd.DataFrame({"model": ["a", "a"], "value": [1, 2]}))
    with pytest.raises(ValueError, match=r"x\.csv has 2 rows with \{'model': 'a'\}"):
        doubled.number(model="a")


def test_rows_keep_their_lines_when_some_are_chosen():
    chosen = SUMMARY.rows(model="c")
    assert SUMMARY.value(chosen.index[0], "value").at == "summary.csv, line 4, value"
    with pytest.raises(ValueError, match="numbered from 0"):
        Frame("summary.csv", chosen)


def test_a_column_without_notes_has_words_of_its_own():
    scans = Frame("s.csv", pd.DataFrame({"dice": [np.nan]}))
    assert "both masks empty" in scans.value(0, "dice").__html__()


def test_a_difference_has_its_sign_and_the_digits_of_its_metric():
    tests = pd.DataFrame({"metric": ["dice"], "estimate": [0.05], "ci_low": 0.0, "ci_high": 0.1})
    assert ">+0.050<" in Frame("tests.csv", tests).value(0, "estimate").__html__()


def test_columns_of_a_group_stand_under_one_heading():
    table = Table(["", ("internal", "a"), ("internal", "b"), ("external", "a")], [], "x.csv")
    assert table.groups == [("", 1), ("internal", 2), ("external", 1)]
    assert table.headings == ["", "a", "b", "a"]
    assert Table(["a", "b"], [], "x.csv").groups == []


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.0004, "p", "< 0.001"),
        (0.0412, "p", "0.041"),
        (0.22, "p", "0.22"),
        (-1.26, "+z.1f", "−1.3"),
        (-0.001, ".2f", "0.00"),
        (59760.0, ",.0f", "59,760"),
        (3, "", "3"),
        (14152.0, "", "14,152"),
        (0.123456, "", "0.123"),
        (0.953, ".0%", "95%"),
        (float("inf"), ".1f", "∞"),
        (True, "", "yes"),
        (np.bool_(False), "", "no"),
        ("staple", "", "staple"),
    ],
)
def test_values_are_shown_as_people_write_them(value, spec, text):
    assert shown(value, spec) == text
