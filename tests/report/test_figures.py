"""Figures show what the frames hold, in the page and in print alike."""

import re
from html import unescape

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from drawn import dots, legend, line, titles

from coala_kedro.report import figures, group_figures
from coala_kedro.report.plots import COLOURS, reason, svg

ROWS = pd.DataFrame(
    {
        "model": ["teacher", "teacher", "student", "student"],
        "cohort": "internal",
        "subset": ["all", "< 10 mm"] * 2,
        "metric": "sensitivity",
        "value": [0.5, np.nan, 0.75, 0.25],
        "ci_low": [0.4, np.nan, np.nan, 0.1],
        "ci_high": [0.6, np.nan, np.nan, 0.3],
    }
)


@pytest.fixture(scope="session")
def scan_metrics():
    """Two models on two cohorts; an external scan is empty for both."""
    rng = np.random.default_rng(3)
    rows = []
    for cohort, n_patients, scale in (("internal", 4, 100.0), ("external", 5, 0.5)):
        for patient in range(n_patients):
            for timepoint in ("pre", "post")[: 1 + patient % 2]:
                empty = cohort == "external" and patient == 0
                reference = 0.0 if empty else scale * float(np.exp(rng.normal(0, 2)))
                for model, share in (("teacher", 0.8), ("student", 0.9)):
                    rows.append(
                        {
                            "model": model,
                            "cohort": cohort,
                            "scan_id": f"{cohort}_{patient}_{timepoint}",
                            "timepoint": timepoint,
                            "dice": np.nan if empty else share,
                            "reference_ml": reference,
                            "predicted_ml": reference * share,
                            "volume_error_ml": reference * (share - 1),
                        }
                    )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def summary():
    lines = {"volume_bias_ml": -10, "volume_limit_lower_ml": -50, "volume_limit_upper_ml": 30}
    rows = [
        ("teacher", cohort, "all", metric, value)
        for cohort in ("internal", "external")
        for metric, value in lines.items()
    ]
    return pd.DataFrame(rows, columns=["model", "cohort", "subset", "metric", "value"])


def levels(axes):
    """Heights and colours of lines across a panel."""
    across = [one for one in axes.lines if list(one.get_xdata()) == [0, 1]]
    return [(one.get_ydata()[0], one.get_color()) for one in across]


def tips(figure):
    return [unescape(text) for text in re.findall(r"<g><title>(.*?)</title>", figure, re.DOTALL)]


def test_bland_altman_has_a_dot_per_scan_and_the_lines_of_the_summary(scan_metrics, summary):
    figure = figures.bland_altman(scan_metrics, summary)
    assert titles(figure) == ["Internal cohort", "External cohort"]
    for axes, cohort in zip(figure.axes, ("internal", "external"), strict=True):
        chosen = scan_metrics[(scan_metrics.cohort == cohort) & (scan_metrics.model == "teacher")]
        mean = (chosen["reference_ml"] + chosen["predicted_ml"]) / 2
        x = mean.clip(lower=figures.SMALLEST_ML)
        np.testing.assert_allclose(dots(axes, "teacher"), np.c_[x, chosen["volume_error_ml"]])
        assert axes.get_xscale() == "log"
    internal = figure.axes[0]
    assert levels(internal)[1:] == [(y, COLOURS[0]) for y in (-10, -50, 30)]
    low, high = internal.get_ylim()
    assert low < -50 < 30 < high
    assert legend(figure) == ["teacher", "student"]


def test_in_per_cent_scans_that_both_leave_empty_have_no_place(scan_metrics, summary):
    figure = figures.bland_altman_percent(scan_metrics, summary)
    drawn = dots(figure.axes[1], "teacher")
    of_teacher = (scan_metrics.cohort == "external") & (scan_metrics.model == "teacher")
    assert len(drawn) == of_teacher.sum() - 1
    np.testing.assert_allclose(drawn[:, 1], 100 * -0.2 / 0.9)


def test_volumes_that_differ_widely_are_on_logarithmic_axes(scan_metrics):
    axes = figures.volumes(scan_metrics).axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    (identity,) = axes.lines
    assert list(identity.get_xdata()) == list(identity.get_ydata())


def test_dice_has_the_scans_that_have_one_over_their_quartiles(scan_metrics):
    figure = figures.dice(scan_metrics)
    axes = figure.axes[1]
    assert len(axes.patches) == 4, "a box a model and time point"
    medians = [one for one in axes.lines if len({*one.get_ydata()}) == 1 and 0.9 in one.get_ydata()]
    assert medians
    assert len(dots(axes, "student")) == 6
    texts = [label.get_text() for label in axes.get_xticklabels()]
    assert texts == ["before therapy\nn = 4", "after therapy\nn = 2"]
    assert legend(figure) == ["teacher", "student"]


def test_in_the_page_every_dot_says_which_scan_it_is(scan_metrics, summary):
    drawn = svg(figures.bland_altman(scan_metrics, summary), "bland_altman")
    scans = [text.split("\n")[0] for text in tips(drawn)]
    assert sorted(scans) == sorted(scan_metrics["scan_id"])
    assert "<a " not in drawn
    named = scan_metrics.assign(scan_id="A&B")
    assert tips(svg(figures.dice(named), "dice"))[0].startswith("A&B\nmodel ")


def test_a_subset_without_a_figure_keeps_its_place_and_an_interval_its_ends():
    (axes,) = group_figures.lesions(ROWS).axes
    assert dots(axes, "teacher")[:, 0].tolist() == [0.5]
    assert dots(axes, "student")[:, 0].tolist() == [0.75, 0.25]
    bars = [bar.get_segments() for bar in axes.collections if hasattr(bar, "get_segments")]
    ends = [[end[:, 0].tolist() for end in bar] for bar in bars]
    np.testing.assert_allclose(ends[0], [[0.4, 0.6]])
    np.testing.assert_allclose(ends[1], [[0.75, 0.75], [0.1, 0.3]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all", "< 10 mm"]


def test_a_free_response_curve_rises_in_steps():
    curve = pd.DataFrame({
        "model": "teacher", "cohort": "internal", "threshold": [0.9, 0.5, 0.1],
        "sensitivity": [0.5, 0.5, 1.0], "false_positives_per_scan": [0.0, 2.0, 2.0],
    })  # fmt: skip
    (axes,) = group_figures.free_response(curve).axes
    (steps,) = axes.lines
    assert line(steps) == ([0, 2, 2], [0.5, 0.5, 1.0])
    assert steps.get_drawstyle() == "steps-post"


def test_readers_stand_before_models():
    rows = pd.DataFrame({
        "rater": ["student", "r2", "r1", "readers"], "reference_kind": "consensus of the others",
        "rater_kind": ["model", "reader", "reader", "reader"], "cohort": "internal",
        "metric": "dice_mean", "value": 0.8, "ci_low": 0.7, "ci_high": 0.9,
    })  # fmt: skip
    (axes,) = group_figures.readers(rows).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["r1", "r2", "student"]


@pytest.mark.parametrize(
    "made",
    [
        figures.bland_altman,
        figures.bland_altman_percent,
        lambda scans, summary: figures.volumes(scans),
        lambda scans, summary: figures.dice(scans),
        lambda scans, summary: group_figures.lesions(ROWS.iloc[:0]),
        lambda scans, summary: group_figures.structures(scans.assign(structure="liver")),
    ],
)
def test_a_figure_without_scans_says_so(made, scan_metrics, summary):
    figure = made(scan_metrics.iloc[:0], summary)
    assert not figure.axes
    assert reason(svg(figure, "figure")).startswith("No scan")
    assert figure.texts[0].get_text() == reason(svg(figure, "figure"))


def test_the_same_figure_is_the_same_file(scan_metrics):
    first, second = (svg(figures.dice(scan_metrics), "dice") for _ in range(2))
    assert first == second
    assert "before therapy" in first
    assert reason(first) == ""


def test_figures_leave_matplotlibs_global_state_alone(scan_metrics):
    before = dict(mpl.rcParams)
    svg(figures.dice(scan_metrics), "dice")
    assert dict(mpl.rcParams) == before
    assert not mpl._pylab_helpers.Gcf.figs
