import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from coala_kedro.statistics.plots import COLOURS, bland_altman_figure, dice_figure


def rendered(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def dots(panel):
    return [np.asarray(collection.get_offsets()) for collection in panel.collections]


def test_bland_altman_has_a_panel_per_cohort_and_a_dot_per_scan(scan_metrics):
    figure = rendered(bland_altman_figure(scan_metrics))
    assert [panel.get_title() for panel in figure.axes] == ["internal", "external"]
    for panel in figure.axes:
        scans = scan_metrics[scan_metrics["cohort"] == panel.get_title()]
        for drawn, model in zip(dots(panel), ("teacher", "student"), strict=True):
            chosen = scans[scans["model"] == model]
            error = chosen["predicted_ml"] - chosen["reference_ml"]
            np.testing.assert_allclose(drawn[:, 1], error)
            np.testing.assert_allclose(drawn[:, 0], chosen["reference_ml"] + error / 2)


def test_bland_altman_draws_bias_and_limits_of_each_model(scan_metrics):
    panel = bland_altman_figure(scan_metrics).axes[0]
    scans = scan_metrics[
        (scan_metrics["cohort"] == "internal") & (scan_metrics["model"] == "teacher")
    ]
    error = scans["predicted_ml"] - scans["reference_ml"]
    heights = [line.get_ydata()[0] for line in panel.lines if line.get_color() == COLOURS[0]]
    assert heights == pytest.approx(
        [error.mean(), error.mean() - 1.96 * error.std(), error.mean() + 1.96 * error.std()]
    )
    assert [text.get_text().split(":")[0] for text in panel.get_legend().get_texts()] == [
        "teacher",
        "student",
    ]


def test_dice_has_the_scans_that_have_one_with_the_models_side_by_side(scan_metrics):
    figure = rendered(dice_figure(scan_metrics))
    external = figure.axes[1]
    scored = scan_metrics[(scan_metrics["cohort"] == "external") & scan_metrics["dice"].notna()]
    drawn = np.concatenate([points[:, 1] for points in dots(external)])
    assert sorted(drawn) == pytest.approx(sorted(scored["dice"]))
    colours = [to_hex(collection.get_facecolor()[0]).upper() for collection in external.collections]
    assert colours == [COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[1]]
    teacher_before, _, student_before, _ = (points[:, 0] for points in dots(external))
    assert teacher_before.max() < student_before.min()


def test_dice_tells_how_many_scans_stand_behind_a_group(scan_metrics):
    labels = [label.get_text() for label in dice_figure(scan_metrics).axes[1].get_xticklabels()]
    assert labels == ["before therapy\nn = 7", "after therapy\nn = 5"]


@pytest.mark.parametrize("draw", [bland_altman_figure, dice_figure])
def test_a_single_scan_of_one_model_can_be_drawn(draw, scan_metrics):
    assert len(rendered(draw(scan_metrics.iloc[:1])).axes) == 1


@pytest.mark.parametrize("draw", [bland_altman_figure, dice_figure])
def test_figures_leave_matplotlibs_global_state_alone(draw, scan_metrics):
    before = dict(mpl.rcParams)
    draw(scan_metrics)
    assert dict(mpl.rcParams) == before
    assert not mpl._pylab_helpers.Gcf.figs
