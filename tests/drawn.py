"""What is drawn in a figure of matplotlib."""

import numpy as np


def titles(figure):
    """Of the panels."""
    return [axes.get_title() for axes in figure.axes]


def legend(figure):
    """The names in the figure's legend."""
    (one,) = figure.legends
    return [text.get_text() for text in one.get_texts()]


def dots(axes, name):
    """Positions of the dots of a name, a row each."""
    return np.concatenate(
        [one.get_offsets() for one in axes.collections if one.get_label() == name]
    )


def line(drawn):
    """Positions along a line."""
    return list(drawn.get_xdata()), list(drawn.get_ydata())
