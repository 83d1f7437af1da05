"""Figures of trainings."""

import pandas as pd
import pytest

from coala_kedro.report import training_figures

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


def lines(figure):
    return {
        (t.xaxis or "x", t.name, t.line.dash): (list(t.x), list(t.y), t.mode) for t in figure.data
    }


def test_losses_are_drawn_by_epoch_a_colour_per_fold():
    figure = training_figures.training_loss_lowres(CURVES, CURVES)
    drawn = lines(figure)
    assert drawn["x", "fold 0", "solid"] == ([0, 1], [0.5, 0.3], "lines")
    assert drawn["x2", "fold 0", "dot"] == ([0, 1], [0.4, 0.2], "lines")
    assert drawn["x", "fold 1", "solid"] == ([0], [0.6], "lines+markers")
    assert [t.name for t in figure.data if t.showlegend] == ["fold 0", "fold 1"]
    assert len(lines(training_figures.training_loss_cascade(CURVES, NONE))) == 2


def test_dice_has_both_stages_of_a_model_that_was_trained_here():
    figure = training_figures.training_dice(CURVES, NONE)
    assert [note.text for note in figure.layout.annotations] == ["Teacher"]
    drawn = lines(figure)
    assert drawn["x", "fold 0", "solid"] == ([0, 1], [0.7, None], "lines")
    assert drawn["x", "fold 0", "dot"] == ([0, 1], [0.1, 0.6], "lines")


def test_folds_are_validated_on_scans_with_crlm():
    scans = pd.DataFrame({
        "stage": "lowres", "fold": [0, 1, 1], "scan_id": ["a", "b", "b"],
        "structure": ["crlm", "crlm", "liver"], "dice": [0.5, None, 0.9],
    })  # fmt: skip
    (trace,) = training_figures.cross_validation(scans, scans.iloc[:0]).data
    assert (trace.y, trace.text) == ((0.5,), ("a",))


@pytest.mark.parametrize("name", ["training_dice", "training_loss_lowres", "cross_validation"])
def test_models_from_elsewhere_have_none(name):
    absent = pd.DataFrame(columns=[*CURVES, "scan_id", "structure", "dice"])
    figure = getattr(training_figures, name)(absent, absent)
    assert len(figure.data) == 0
    assert figure.layout.annotations[0].text.startswith("No ")
