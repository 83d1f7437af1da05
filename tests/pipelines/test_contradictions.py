"""Scan tables against the headers, the masks and themselves."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hospital import image

from coala_kedro.imaging.inspection import inspect_lesion_sizes, inspect_scan
from coala_kedro.pipelines.preprocessing.contradictions import (
    against_headers,
    against_masks,
    within_patients,
)

ROW = {"scan_id": "a_pre", "acquired_on": "2020-02-01", "sex": "F", "age_years": 60.0}


def days_from_today(days):
    return str(datetime.date.today() + datetime.timedelta(days=days))


@pytest.mark.parametrize("day", ["1971-10-01", "1992-06-06", days_from_today(0)])
def test_a_day_when_there_was_ct_is_possible(day):
    assert against_headers(ROW | {"acquired_on": day}, {}) == {}


@pytest.mark.parametrize("day", ["1900-01-01", "1971-09-30", days_from_today(2), "2150-01-01"])
def test_a_day_before_ct_or_to_come_is_not(day):
    told = against_headers(ROW | {"acquired_on": day}, {})
    assert told == {"impossible_date": f"acquired_on is {day}"}


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"header_sex": "M"}, {"other_sex": "F in the scan table, M in the headers"}),
        (
            {"header_age_years": 35},
            {"other_age": "60 years in the scan table, 35 by PatientAge"},
        ),
        (
            {"header_age_years": 60, "birth_age_years": 71},
            {"other_age": "60 years in the scan table, 71 by the birth date"},
        ),
        (
            {"days_after_table": 31},
            {"other_date": "2020-02-01 in the scan table, 31 days later in the headers"},
        ),
        (
            {"days_after_table": -1},
            {"other_date": "2020-02-01 in the scan table, 1 days earlier in the headers"},
        ),
        ({"header_sex": "F", "header_age_years": 61, "birth_age_years": 59}, {}),
        ({"days_after_table": 0}, {}),
        ({}, {}),
    ],
)
def test_what_the_headers_tell_otherwise_is_told_with_both_values(headers, told):
    assert against_headers(ROW, headers) == told


@pytest.mark.parametrize("empty", [None, np.nan, ""])
def test_what_the_table_leaves_open_contradicts_nothing(empty):
    row = {"scan_id": "a", "acquired_on": "2020-02-01", "sex": empty, "age_years": empty}
    assert against_headers(row, {"header_sex": "M", "header_age_years": 35}) == {}
    assert against_masks({"n_crlm": empty}, {"n_lesions": 4, "largest_lesion_mm": 30.0}) == {}
    assert against_masks({}, {"n_lesions": 4, "largest_lesion_mm": 30.0}) == {}
    assert against_masks({"n_crlm": 3, "largest_crlm_diameter_mm": 20}, {}) == {}


@pytest.mark.parametrize(
    ("n_crlm", "n_lesions", "differs"),
    [(1, 1, False), (2, 1, False), (7, 5, False), (5, 3, False), (1, 2, False), (0, 0, False),
     (0, 1, True), (1, 0, True), (1, 3, True), (4, 1, True), (12, 5, True)],
)  # fmt: skip
def test_lesions_that_flow_together_are_no_contradiction(n_crlm, n_lesions, differs):
    told = against_masks({"n_crlm": n_crlm}, {"n_lesions": n_lesions})
    words = f"{n_crlm} in the scan table, {n_lesions} in the consensus"
    assert told == ({"other_n_crlm": words} if differs else {})


@pytest.mark.parametrize(
    ("table_mm", "mask_mm", "differs"),
    [(28.3, 31.5, False), (28.3, 41.7, False), (4.0, 9.0, False), (2.8, 28.0, True),
     (90, 28.0, True), (20, 31.0, True), (0, 28.0, False)],
)  # fmt: skip
def test_a_diameter_may_differ_by_what_readers_differ(table_mm, mask_mm, differs):
    told = against_masks({"largest_crlm_diameter_mm": table_mm}, {"largest_lesion_mm": mask_mm})
    assert bool(told) == differs


def scans(*rows):
    columns = ["scan_id", "patient_id", "timepoint", "acquired_on", "sex", "age_years"]
    return pd.DataFrame(rows, columns=columns)


def test_one_person_does_not_change_sex_or_age_between_scans():
    table = scans(
        ("a1", "a", "pre", "2020-01-01", "F", 60), ("a2", "a", "post", "2020-04-01", "M", 35),
        ("b1", "b", "pre", "2020-01-01", "M", 35), ("b2", "b", "post", "2020-04-01", "M", 36),
        ("c1", "c", "pre", "2020-01-01", "F", 60), ("c2", "c", "post", "2020-04-01", None, None),
    )  # fmt: skip
    told = {
        "sex_changes": "F (a1), M (a2)",
        "age_does_not_fit": "60 on 2020-01-01 (a1), 35 on 2020-04-01 (a2)",
    }
    assert [*within_patients(table)] == [("a1", told), ("a2", told)]


@pytest.mark.parametrize(
    ("pre", "post", "code"),
    [
        ("2020-01-01", "2020-01-01", "pre_and_post_on_one_day"),
        ("2010-01-01", "2020-01-01", "years_between_pre_and_post"),
        ("2020-01-01", "2021-12-30", None),
        ("2020-01-01", "2020-01-02", None),
        ("2020-02-01", "2020-01-01", None),  # a check of its own
    ],
)
def test_pre_and_post_are_months_apart(pre, post, code):
    table = scans(("a1", "a", "pre", pre, "F", None), ("a2", "a", "post", post, "F", None))
    told = dict(within_patients(table.drop(columns="age_years")))
    assert [*told.get("a1", {})] == ([code] if code else [])
    assert told.get("a2") == told.get("a1")


def test_scans_of_years_are_one_person_s_if_the_ages_follow():
    table = scans(
        ("a1", "a", "pre", "2020-01-01", "F", 60), ("a2", "a", "pre", "2023-01-01", "F", 63),
        ("b1", "b", "pre", "2020-01-01", "F", 60), ("b2", "b", "pre", "2023-01-01", "F", 60),
    )  # fmt: skip
    assert {scan_id for scan_id, _ in within_patients(table)} == {"b1", "b2"}


def test_lesions_are_counted_and_measured():
    mask = np.zeros((5, 20, 20), np.uint8)
    mask[1:3, 2:6, 2:5] = 1
    mask[4, 10:12, 10:15] = 1
    made = image(mask, spacing_mm=(2.0, 2.0, 5.0))
    # Ten mm by four: a line from corner to corner.
    assert inspect_lesion_sizes(made) == {"n_lesions": 2, "largest_lesion_mm": 10.8}
    assert inspect_lesion_sizes(image(mask * 0)) == {"n_lesions": 0}
    assert inspect_lesion_sizes(None) == {}


@pytest.mark.parametrize(
    ("grid", "is_default"),
    [
        ({}, True),
        ({"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, True),
        ({"origin_mm": (0, 0, 1)}, None),
        ({"spacing_mm": (1, 1, 1.25)}, None),
        ({"direction": (0, 1, 0, 1, 0, 0, 0, 0, -1)}, False),
    ],
)
def test_a_grid_that_nobody_told_is_seen(grid, is_default):
    options = {"spacing_mm": (1, 1, 1), "origin_mm": (0, 0, 0)} | grid
    direction = options.pop("direction", (1, 0, 0, 0, 1, 0, 0, 0, 1))
    made = image(np.zeros((4, 5, 6), np.int16), **options)
    made.SetDirection(direction)
    assert inspect_scan(made).get("is_default_grid") == is_default


@pytest.mark.parametrize(
    ("row", "found", "told"),
    [
        ((6, 57.0), (3, 146.0), []),  # they flow together
        ((6, 57.0), (6, 146.0), ["other_diameter"]),
        ((6, 57.0), (3, 20.0), ["other_diameter"]),
        ((None, 57.0), (3, 146.0), ["other_diameter"]),
        ((6, 57.0), (6, 62.0), []),
        ((6, 57.0), (1, 57.0), ["other_n_crlm"]),
        ((0, None), (1, 30.0), ["other_n_crlm"]),
    ],
)
def test_lesions_and_their_diameter_are_held_against_the_consensus(row, found, told):
    table = dict(zip(("n_crlm", "largest_crlm_diameter_mm"), row, strict=True))
    anatomy = dict(zip(("n_lesions", "largest_lesion_mm"), found, strict=True))
    assert [*against_masks(table, anatomy)] == told
