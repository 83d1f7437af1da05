"""Figures of trainings: how they went epoch by epoch, and how well their folds validate."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coala_kedro.report.canvas import dots, nothing, panels, spread

_STAGES = {"cascade": "solid", "lowres": "dot"}
_LOSSES = {"validation_loss": "solid", "train_loss": "dot"}


def cross_validation(teacher: pd.DataFrame, student: pd.DataFrame) -> go.Figure:
    """Dice of CRLM on the validation scans of every fold and stage, a panel per model.

    Args:
        teacher: `stage`, `fold`, `scan_id`, `structure`, `dice`.
        student: Likewise.
    """
    rows = _both(teacher, student)
    scored = rows[rows["structure"] == "crlm"].dropna(subset="dice")
    models, stages = _values(scored, "model"), _values(scored, "stage")
    if not models:
        return nothing("No fold was validated here on a scan with CRLM.")
    figure = panels([model.capitalize() for model in models], "Fold", "Dice of CRLM", shared_y=True)
    for panel, model in enumerate(models):
        of_model = scored[scored["model"] == model]
        for place, stage in enumerate(stages):
            scans = of_model[of_model["stage"] == stage]
            x = scans["fold"] + (place - (len(stages) - 1) / 2) * 0.3 + spread(len(scans)) / 2
            dots(figure, panel, x, scans["dice"], stage, place, text=list(scans["scan_id"]),
                 hoverinfo="text+y+name")  # fmt: skip
        folds = sorted(of_model["fold"].unique().tolist())
        figure.update_xaxes({"tickvals": folds, "ticktext": [str(f) for f in folds]}, col=panel + 1)
    return figure


def training_dice(teacher: pd.DataFrame, student: pd.DataFrame) -> go.Figure:
    """Dice of CRLM on validation patches (nnU-Net's pseudo-Dice) by epoch, a panel per model.

    Args:
        teacher: `stage`, `fold`, `epoch`, `pseudo_dice_crlm`.
        student: Likewise.

    Returns:
        A colour per fold; the cascade full, the low resolution dotted.
    """
    curves = _both(teacher, student)
    drawn = [(curves[curves["stage"] == stage], "pseudo_dice_crlm", dash)
             for stage, dash in _STAGES.items()]  # fmt: skip
    return _curves(drawn, "Dice of CRLM on patches")


def training_loss_lowres(teacher: pd.DataFrame, student: pd.DataFrame) -> go.Figure:
    """Loss of the low resolution by epoch, a panel per model.

    Args:
        teacher: `stage`, `fold`, `epoch`, `train_loss`, `validation_loss`.
        student: Likewise.

    Returns:
        A colour per fold; validation full, training dotted.
    """
    return _losses(_both(teacher, student), "lowres")


def training_loss_cascade(teacher: pd.DataFrame, student: pd.DataFrame) -> go.Figure:
    """As `training_loss_lowres`, of the cascade."""
    return _losses(_both(teacher, student), "cascade")


def _losses(curves: pd.DataFrame, stage: str) -> go.Figure:
    chosen = curves[curves["stage"] == stage]
    return _curves([(chosen, column, dash) for column, dash in _LOSSES.items()], "Loss")


def _curves(drawn: list[tuple[pd.DataFrame, str, str]], y_title: str) -> go.Figure:
    """Lines of frames' columns, each with its dash."""
    rows = pd.concat([frame for frame, _, _ in drawn])
    models, folds = _values(rows, "model"), sorted(_values(rows, "fold"))
    if not models:
        return nothing("No curve was kept of these trainings.")
    figure = panels([model.capitalize() for model in models], "Epoch", y_title, shared_y=True)
    for frame, column, dash in drawn:
        for (model, fold), training in frame.groupby(["model", "fold"], sort=False):
            ordered = training.sort_values("epoch")
            style = {
                "mode": "lines" if len(ordered) > 1 else "lines+markers",
                "line": {"dash": dash},
            }
            dots(figure, models.index(model), ordered["epoch"], ordered[column], f"fold {fold}",
                 folds.index(fold), hoverinfo="x+y+name", **style)  # fmt: skip
    return figure


def _both(teacher: pd.DataFrame, student: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([teacher.assign(model="teacher"), student.assign(model="student")])


def _values(rows: pd.DataFrame, column: str) -> list:
    return rows[column].unique().tolist()
