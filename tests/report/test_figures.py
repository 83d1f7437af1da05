"""Figures show what the frames hold, on the screen and in print alike."""

import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from coala_kedro.report import figures, group_figures
from coala_kedro.report.canvas import COLOURS, panels
from coala_kedro.report.still import draw, svg

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


def of(figure, panel, name):
    """The traces of a name in a panel."""
    axis = "x" if panel == 0 else f"x{panel + 1}"
    return [t for t in figure.data if t.name == name and (t.xaxis or "x") == axis]


def titles(figure):
    return [note.text for note in figure.layout.annotations]


def test_bland_altman_has_a_dot_per_scan_and_the_lines_of_the_summary(scan_metrics, summary):
    figure = figures.bland_altman(scan_metrics, summary)
    assert titles(figure) == ["Internal cohort", "External cohort"]
    for panel, cohort in enumerate(("internal", "external")):
        chosen = scan_metrics[(scan_metrics.cohort == cohort) & (scan_metrics.model == "teacher")]
        (dots,) = of(figure, panel, "teacher")
        np.testing.assert_allclose(dots.y, chosen["volume_error_ml"])
        mean = (chosen["reference_ml"] + chosen["predicted_ml"]) / 2
        np.testing.assert_allclose(dots.x, mean.clip(lower=figures.SMALLEST_ML))
        assert [text.split("<br>")[0] for text in dots.text] == list(chosen["scan_id"])
    levels = [(s.y0, s.line.color) for s in figure.layout.shapes if s.xref == "x domain"]
    assert levels[1:] == [(y, COLOURS[0]) for y in (-10, -50, 30)]
    low, high = figure.layout.yaxis.range
    assert low < -50 < 30 < high


def test_in_per_cent_scans_that_both_leave_empty_have_no_place(scan_metrics, summary):
    figure = figures.bland_altman_percent(scan_metrics, summary)
    (dots,) = of(figure, 1, "teacher")
    assert dots.y[0] is None
    np.testing.assert_allclose(dots.y[1:], 100 * -0.2 / 0.9)


def test_volumes_that_differ_widely_are_on_logarithmic_axes(scan_metrics):
    figure = figures.volumes(scan_metrics)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    line = next(trace for trace in figure.data if trace.name is None)
    assert list(line.x) == list(line.y)


def test_dice_has_the_scans_that_have_one_over_their_quartiles(scan_metrics):
    figure = figures.dice(scan_metrics)
    box, dots = of(figure, 1, "student")[:2]
    assert box.type == "box"
    assert box.median == (0.9,)
    assert len(dots.y) == 4
    assert figure.layout.xaxis2.ticktext == ("before therapy<br>n = 4", "after therapy<br>n = 2")
    assert [t.name for t in figure.data if t.showlegend] == ["teacher", "student"]


def test_a_subset_without_a_figure_keeps_its_place_and_an_interval_its_ends():
    figure = group_figures.lesions(ROWS)
    (teacher,), (student,) = of(figure, 0, "teacher"), of(figure, 0, "student")
    assert teacher.x == (0.5,)
    assert student.x == (0.75, 0.25)
    np.testing.assert_allclose(teacher.error_x.array, [0.1])
    np.testing.assert_allclose(student.error_x.arrayminus, [0, 0.15])
    assert figure.layout.yaxis.ticktext == ("all", "< 10 mm")


def test_a_free_response_curve_rises_in_steps():
    curve = pd.DataFrame({
        "model": "teacher", "cohort": "internal", "threshold": [0.9, 0.5, 0.1],
        "sensitivity": [0.5, 0.5, 1.0], "false_positives_per_scan": [0.0, 2.0, 2.0],
    })  # fmt: skip
    (line,) = group_figures.free_response(curve).data
    assert (line.x, line.y) == ((0, 2, 2), (0.5, 0.5, 1.0))
    assert line.line.shape == "hv"


def test_readers_stand_before_models():
    rows = pd.DataFrame({
        "rater": ["student", "r2", "r1", "readers"], "reference_kind": "consensus of the others",
        "rater_kind": ["model", "reader", "reader", "reader"], "cohort": "internal",
        "metric": "dice_mean", "value": 0.8, "ci_low": 0.7, "ci_high": 0.9,
    })  # fmt: skip
    assert group_figures.readers(rows).layout.yaxis.ticktext == ("r1", "r2", "student")


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
    assert len(figure.data) == 0
    assert titles(figure)[0].startswith("No scan")
    assert titles(figure)[0] in svg(figure)


@pytest.mark.parametrize("name", ["bland_altman", "volumes", "dice", "lesions"])
def test_the_still_has_every_dot_of_the_figure(name, scan_metrics, summary):
    figure = {
        "bland_altman": lambda: figures.bland_altman(scan_metrics, summary),
        "volumes": lambda: figures.volumes(scan_metrics),
        "dice": lambda: figures.dice(scan_metrics),
        "lesions": lambda: group_figures.lesions(ROWS),
    }[name]()
    still = draw(figure)
    still.savefig(io.BytesIO(), format="png", dpi=40)
    assert [axes.get_title() for axes in still.axes] == titles(figure)
    for panel, axes in enumerate(still.axes):
        drawn = {tuple(np.round(xy, 9)) for line in axes.lines for xy in line.get_xydata()}
        for trace in figure.data:
            if trace.type == "scatter" and (trace.xaxis or "x") == ("x", "x2")[panel]:
                assert {
                    tuple(np.round(xy, 9)) for xy in zip(trace.x, trace.y, strict=True)
                } <= drawn
    levels = {s.y0 for s in figure.layout.shapes if s.xref == "x domain"}
    assert levels <= {line.get_ydata()[0] for line in still.axes[0].lines}
    (legend,) = still.legends
    assert [text.get_text() for text in legend.get_texts()] == ["teacher", "student"]


def test_the_still_of_a_figure_is_always_the_same(scan_metrics):
    figure = figures.dice(scan_metrics)
    assert svg(figure) == svg(go.Figure(figure))
    assert "before therapy" in svg(figure)


def test_what_the_still_cannot_draw_is_refused():
    figure = panels(["a"], "x", "y")
    figure.add_trace(go.Bar(x=[1], y=[1]), row=1, col=1)
    with pytest.raises(ValueError, match="type 'bar'"):
        draw(figure)


def test_stills_leave_matplotlibs_global_state_alone(scan_metrics):
    before = dict(mpl.rcParams)
    svg(figures.dice(scan_metrics))
    assert dict(mpl.rcParams) == before
    assert not mpl._pylab_helpers.Gcf.figs
