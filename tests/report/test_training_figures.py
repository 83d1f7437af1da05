"""Figures of trainings."""

import numpy as np
import pandas as pd
import pytest
from drawn import dots, legend, line, titles

from coala_kedro.report import training_figures
from coala_kedro.report.plots import svg

CURVES = pd.DataFrame(
    {
        "stage": ["lowres"] * 3 + ["cascade"] * 2,
        "fold": [0, 0, 1, 0, 0],
        "epoch": [1, 0, 0, 0, 1],
        "train_loss": [0.2, 0.4, 0.5, 0.1, 0.05],
        "validation_loss": [0.3, 0.5, 0.6, 0.2, 0.15],
        "pseudo_dice_crlm": [0.6, 0.1, 0.2, 0.7, None],
    }
)
NONE = CURVES.iloc[:0]


def lines(axes):
    """Positions and marker of every line by name and style."""
    return {
        (one.get_label(), one.get_linestyle()): (*line(one), one.get_marker()) for one in axes.lines
    }


def test_losses_are_drawn_by_epoch_a_colour_per_fold():
    figure = training_figures.training_loss_lowres(CURVES, CURVES)
    teacher, student = map(lines, figure.axes)
    assert teacher["fold 0", "-"] == ([0, 1], [0.5, 0.3], "")
    assert student["fold 0", ":"] == ([0, 1], [0.4, 0.2], "")
    assert teacher["fold 1", "-"] == ([0], [0.6], ".")
    assert legend(figure) == ["fold 0", "fold 1"]
    (alone,) = training_figures.training_loss_cascade(CURVES, NONE).axes
    assert len(lines(alone)) == 2


def test_dice_has_both_stages_of_a_model_that_was_trained_here():
    figure = training_figures.training_dice(CURVES, NONE)
    assert titles(figure) == ["Teacher"]
    drawn = lines(figure.axes[0])
    assert drawn["fold 0", "-"][0] == [0, 1]
    np.testing.assert_equal(drawn["fold 0", "-"][1], [0.7, np.nan])
    assert drawn["fold 0", ":"] == ([0, 1], [0.1, 0.6], "")


def test_folds_are_validated_on_scans_with_crlm():
    scans = pd.DataFrame({
        "stage": "lowres", "fold": [0, 1, 1], "scan_id": ["a", "b", "b"],
        "structure": ["crlm", "crlm", "liver"], "dice": [0.5, None, 0.9],
    })  # fmt: skip
    figure = training_figures.cross_validation(scans, scans.iloc[:0])
    assert dots(figure.axes[0], "lowres")[:, 1].tolist() == [0.5]
    assert "<title>a: 0.500</title>" in svg(figure, "cross_validation")


@pytest.mark.parametrize("name", ["training_dice", "training_loss_lowres", "cross_validation"])
def test_models_from_elsewhere_have_none(name):
    absent = pd.DataFrame(columns=[*CURVES, "scan_id", "structure", "dice"])
    figure = getattr(training_figures, name)(absent, absent)
    assert not figure.axes
    assert figure.get_label().startswith("No ")
