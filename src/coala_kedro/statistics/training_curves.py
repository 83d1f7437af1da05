"""The curves of all trainings of a model in one figure."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from coala_kedro.statistics.plots import COLOURS

_PANELS = {
    "loss": {"train_loss": "--", "validation_loss": "-"},
    "pseudo-Dice of CRLM": {"pseudo_dice_crlm": "-"},
}
_FOLD_COLOURS = (*COLOURS, "#E69F00", "#56B4E9", "#F0E442", "#000000")


def training_curves_figure(curves: pd.DataFrame, title: str) -> Figure:
    """Loss and pseudo-Dice by epoch.

    Args:
        curves: One row per stage, fold and epoch: `stage, fold, epoch, train_loss,
            validation_loss, pseudo_dice_crlm`.
        title: Of the figure.

    Returns:
        A column per stage, the loss above (training broken, validation full) and below it the Dice
        of CRLM on the validation patches, which nnU-Net calls pseudo-Dice; a colour per fold.
    """
    stages = [*curves["stage"].unique()]
    figure = Figure(figsize=(5 * len(stages), 7), layout="constrained")
    axes = figure.subplots(len(_PANELS), len(stages), squeeze=False, sharex=True, sharey="row")
    folds = sorted(curves["fold"].unique())
    colour = dict(zip(folds, _FOLD_COLOURS, strict=False))
    for column, stage in enumerate(stages):
        for row, (label, lines) in enumerate(_PANELS.items()):
            panel = axes[row][column]
            for fold, training in curves[curves["stage"] == stage].groupby("fold"):
                ordered = training.sort_values("epoch")
                for figure_name, style in lines.items():
                    panel.plot(
                        ordered["epoch"],
                        ordered[figure_name],
                        linestyle=style,
                        color=colour[fold],
                        linewidth=1,
                        marker="." if len(ordered) == 1 else "",
                    )
            panel.set(ylabel=label if column == 0 else "", title=stage if row == 0 else "")
            panel.grid(alpha=0.3)
        axes[-1][column].set_xlabel("epoch")
    shown = [Line2D([], [], color=colour[fold], label=f"fold {fold}") for fold in folds]
    axes[0][-1].legend(
        handles=[*shown, Line2D([], [], color="grey", linestyle="--", label="training")],
        fontsize="small",
    )
    figure.suptitle(f"Trainings of the {title}")
    return figure
