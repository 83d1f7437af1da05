"""Figures of trainings: how they went epoch by epoch, and how well their folds validate."""

from __future__ import annotations

import pandas as pd

from coala_kedro.report.plots import Figure, colour, dots, nothing, panels, spread, with_legend

_STAGES = {"cascade": "-", "lowres": ":"}
_LOSSES = {"validation_loss": "-", "train_loss": ":"}


def cross_validation(teacher: pd.DataFrame, student: pd.DataFrame) -> Figure:
    """Dice of CRLM on the validation scans of every fold and stage, a panel per model.

    Args:
        teacher: `stage`, `fold`, `scan_id`, `structure`, `dice`.
        student: Likewise.
    """
    rows = _both(teacher, student)
    scored = rows[rows["structure"] == "crlm"].dropna(subset="dice")
    models, stages = scored["model"].unique(), scored["stage"].unique()
    if not len(models):
        return nothing("No fold was validated here on a scan with CRLM.")
    names = [model.capitalize() for model in models]
    figure, row = panels(names, "Fold", "Dice of CRLM", shared_y=True)
    for axes, model in zip(row, models, strict=True):
        of_model = scored[scored["model"] == model]
        for place, stage in enumerate(stages):
            scans = of_model[of_model["stage"] == stage]
            x = scans["fold"] + (place - (len(stages) - 1) / 2) * 0.3 + spread(len(scans)) / 2
            tips = [f"{scan.scan_id}: {scan.dice:.3f}" for scan in scans.itertuples()]
            dots(axes, x, scans["dice"], stage, place, tips)
        folds = sorted(of_model["fold"].unique())
        axes.set_xticks(folds)
        axes.set_xlim(folds[0] - 0.6, folds[-1] + 0.6)
    return with_legend(figure)


def training_dice(teacher: pd.DataFrame, student: pd.DataFrame) -> Figure:
    """Dice of CRLM on validation patches (nnU-Net's pseudo-Dice) by epoch, a panel per model.

    Args:
        teacher: `stage`, `fold`, `epoch`, `pseudo_dice_crlm`.
        student: Likewise.

    Returns:
        A colour per fold; the cascade full, the low resolution dotted.
    """
    curves = _both(teacher, student)
    drawn = [
        (curves[curves["stage"] == stage], "pseudo_dice_crlm", style)
        for stage, style in _STAGES.items()
    ]
    return _curves(drawn, "Dice of CRLM on patches")


def training_loss_lowres(teacher: pd.DataFrame, student: pd.DataFrame) -> Figure:
    """Loss of the low resolution by epoch, a panel per model.

    Args:
        teacher: `stage`, `fold`, `epoch`, `train_loss`, `validation_loss`.
        student: Likewise.

    Returns:
        A colour per fold; validation full, training dotted.
    """
    return _losses(_both(teacher, student), "lowres")


def training_loss_cascade(teacher: pd.DataFrame, student: pd.DataFrame) -> Figure:
    """As `training_loss_lowres`, of the cascade.

    Args:
        teacher: As there.
        student: As there.
    """
    return _losses(_both(teacher, student), "cascade")


def _losses(curves: pd.DataFrame, stage: str) -> Figure:
    chosen = curves[curves["stage"] == stage]
    return _curves([(chosen, column, style) for column, style in _LOSSES.items()], "Loss")


def _curves(drawn: list[tuple[pd.DataFrame, str, str]], y_title: str) -> Figure:
    """Lines of frames' columns, each with its style."""
    from matplotlib.ticker import MaxNLocator

    rows = pd.concat([frame for frame, _, _ in drawn])
    models, folds = list(rows["model"].unique()), sorted(rows["fold"].unique())
    if not models:
        return nothing("No curve was kept of these trainings.")
    names = [model.capitalize() for model in models]
    figure, row = panels(names, "Epoch", y_title, shared_y=True)
    for axes in row:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for frame, column, style in drawn:
        for (model, fold), training in frame.groupby(["model", "fold"], sort=False):
            ordered = training.sort_values("epoch")
            row[models.index(model)].plot(
                ordered["epoch"],
                ordered[column],
                linestyle=style,
                marker="" if len(ordered) > 1 else ".",
                color=colour(folds.index(fold)),
                linewidth=1.4,
                label=f"fold {fold}",
            )
    return with_legend(figure)


def _both(teacher: pd.DataFrame, student: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([teacher.assign(model="teacher"), student.assign(model="student")])
