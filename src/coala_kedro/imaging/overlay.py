"""Model and consensus outlined on a slice, as in the paper's Figure 3.

Volumes are arrays zyx from images in LPS orientation: x grows to the patient's left, y to the back.
Drawn with the first row on top this is the radiologist's view: the patient's right on the left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_LEVEL_HU = 60
WINDOW_WIDTH_HU = 400
"""Soft tissue, as a radiologist reads the liver in the portal-venous phase."""

MODEL_COLOUR = "#ff3030"
CONSENSUS_COLOUR = "#4dff6a"
"""The paper's red and green, the green much the lighter, for readers who cannot tell the hues."""

SCALE_BAR_MM = 50
_DPI = 200

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """One slice of one scan, with what is drawn on it; holds nothing of the volume.

    Attributes:
        slice_hu: CT slice in HU, yx.
        reference: Consensus on the slice, boolean yx.
        predicted: Model on the slice, boolean yx.
        pixel_mm: Pixel size in mm, (y, x).
        title: Above the picture.
    """

    slice_hu: NDArray[np.float32]
    reference: BoolArray
    predicted: BoolArray
    pixel_mm: tuple[float, float]
    title: str


def axial_panel(
    scan_hu: NDArray[np.number],
    reference: BoolArray,
    predicted: BoolArray,
    spacing_mm: tuple[float, float, float],
    title: str = "",
) -> Panel:
    """Reduce a scan to the axial slice with most lesion.

    Args:
        scan_hu: CT in HU, zyx, LPS.
        reference: Consensus mask, boolean zyx on the scan's grid.
        predicted: Model's mask, likewise.
        spacing_mm: Voxel size in mm, (z, y, x).
        title: Title of the panel.

    Returns:
        The slice with most voxels in either mask, the lowest of several; the middle one if both
        masks are empty.

    Raises:
        ValueError: Scan and masks differ in shape.
    """
    if not scan_hu.shape == reference.shape == predicted.shape:
        raise ValueError(
            f"Scan, consensus and prediction have shapes {scan_hu.shape}, {reference.shape} and "
            f"{predicted.shape} (zyx): bring them onto one grid first."
        )
    lesion_voxels = np.count_nonzero(reference | predicted, axis=(1, 2))
    chosen = int(lesion_voxels.argmax()) if lesion_voxels.any() else len(scan_hu) // 2
    return Panel(
        # Copies: a view would keep the whole volume in memory.
        slice_hu=scan_hu[chosen].astype(np.float32),
        reference=reference[chosen].copy(),
        predicted=predicted[chosen].copy(),
        pixel_mm=(spacing_mm[1], spacing_mm[2]),
        title=title,
    )


def outline_gallery(panels: Iterable[Panel], n_columns: int = 3) -> Figure:
    """Draw the panels of several scans in one figure, row by row.

    Give it a generator of `axial_panel`s and only one scan is in memory at a time.

    Args:
        panels: Slices to draw, in order; pixel sizes may differ.
        n_columns: Panels per row at most.

    Returns:
        The figure: every panel with its scale bar and sides of the patient, one legend below.

    Raises:
        ValueError: There is no panel.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    drawn = list(panels)
    if not drawn:
        raise ValueError("There is no panel to draw: give at least one scan.")
    n_columns = min(n_columns, len(drawn))
    n_rows = -(-len(drawn) // n_columns)
    figure = Figure(figsize=(4 * n_columns, 4 * n_rows + 0.4), dpi=_DPI, layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, panel in zip(grid, drawn, strict=False):
        _draw_panel(axes, panel)
    figure.legend(
        handles=[
            Line2D([], [], color=MODEL_COLOUR, label="model"),
            Line2D([], [], color=CONSENSUS_COLOUR, label="consensus"),
        ],
        loc="outside lower center",
        ncols=2,
        labelcolor="white",
        facecolor="black",
        framealpha=1,
    )
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    pixel_y_mm, pixel_x_mm = panel.pixel_mm
    axes.imshow(
        panel.slice_hu,
        cmap="gray",
        vmin=WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2,
        vmax=WINDOW_LEVEL_HU + WINDOW_WIDTH_HU / 2,
        origin="upper",
        aspect=pixel_y_mm / pixel_x_mm,
        interpolation="bilinear",
    )
    # The wider green shows on both sides of the red where the two agree.
    _outline(axes, panel.reference, CONSENSUS_COLOUR, width=2.2)
    _outline(axes, panel.predicted, MODEL_COLOUR, width=0.9)
    axes.set_title(panel.title)
    for side, x in (("R", 0.03), ("L", 0.97)):
        axes.text(x, 0.5, side, color="white", ha="center", va="center", transform=axes.transAxes)
    axes.add_artist(
        AnchoredSizeBar(
            axes.transData,
            SCALE_BAR_MM / pixel_x_mm,
            f"{SCALE_BAR_MM} mm",
            loc="lower right",
            color="white",
            borderpad=0.8,
            frameon=False,
            label_top=True,
        )
    )


def _outline(axes: Axes, mask: BoolArray, colour: str, width: float) -> None:
    if not mask.any():
        return
    # A rim of background closes outlines that reach the edge of the slice.
    padded = np.pad(mask, 1).astype(float)
    rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
    axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=width)
    axes.set_xlim(-0.5, mask.shape[1] - 0.5)
    axes.set_ylim(mask.shape[0] - 0.5, -0.5)
