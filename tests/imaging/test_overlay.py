import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from coala_kedro.imaging.overlay import (
    CONSENSUS_COLOUR,
    MODEL_COLOUR,
    SCALE_BAR_MM,
    axial_panel,
    outline_gallery,
)

SHAPE = (6, 30, 40)
SPACING_MM = (5.0, 2.0, 1.0)


def box(z, y, x):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[z, y, x] = True
    return mask


@pytest.fixture
def scan():
    """A scan whose slice z has z HU, a consensus of 16 voxels on slice 2, a model of 25 on 4."""
    scan_hu = np.broadcast_to(np.arange(6.0)[:, None, None], SHAPE).copy()
    reference = box(2, slice(5, 9), slice(10, 14))
    predicted = box(4, slice(5, 10), slice(20, 25))
    return scan_hu, reference, predicted


def outline_figure(*panel):
    return outline_gallery([axial_panel(*panel)])


def rendered(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def outlines(axes):
    return {
        to_hex(artist.get_edgecolor()[0]): np.concatenate(
            [path.vertices for path in artist.get_paths()]
        )
        for artist in axes.collections
        if isinstance(artist, ContourSet)
    }


def test_the_slice_with_most_lesion_of_either_is_shown(scan):
    scan_hu, reference, predicted = scan
    panel = axial_panel(scan_hu, reference, predicted, SPACING_MM)
    assert (panel.slice_hu == 4).all()
    assert panel.predicted.sum() == 25
    assert axial_panel(scan_hu, reference, box(0, 0, 0), SPACING_MM).reference.sum() == 16


def test_voxels_in_both_masks_count_once(scan):
    scan_hu, reference, _ = scan
    predicted = reference | box(5, slice(0, 5), slice(0, 4))
    assert (axial_panel(scan_hu, reference, predicted, SPACING_MM).slice_hu == 5).all()


def test_without_a_lesion_the_middle_slice_is_shown(scan):
    empty = np.zeros(SHAPE, dtype=bool)
    assert (axial_panel(scan[0], empty, empty, SPACING_MM).slice_hu == 3).all()


def test_a_panel_does_not_keep_the_volume_in_memory(scan):
    panel = axial_panel(scan[0].astype(np.float32), *scan[1:], SPACING_MM)
    for kept in (panel.slice_hu, panel.reference, panel.predicted):
        assert kept.base is None
        assert kept.shape == SHAPE[1:]


def test_masks_of_another_grid_are_refused(scan):
    with pytest.raises(ValueError, match="one grid"):
        axial_panel(scan[0], scan[1][1:], scan[2], SPACING_MM)


def test_the_model_is_red_and_the_consensus_green_where_their_masks_are(scan):
    scan_hu, reference, _ = scan
    predicted = box(2, slice(20, 24), slice(30, 34))
    axes = rendered(outline_figure(scan_hu, reference, predicted, SPACING_MM, "scan")).axes[0]
    drawn = outlines(axes)
    np.testing.assert_allclose(drawn[CONSENSUS_COLOUR].mean(axis=0), (11.5, 6.5), atol=0.5)
    np.testing.assert_allclose(drawn[MODEL_COLOUR].mean(axis=0), (31.5, 21.5), atol=0.5)


@pytest.mark.parametrize("outlined", [True, False])
def test_the_patients_right_is_on_the_left_and_the_front_on_top(scan, outlined):
    masks = (mask & outlined for mask in scan[1:])
    axes = outline_figure(scan[0], *masks, SPACING_MM, "scan").axes[0]
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert left < right
    assert bottom > top
    sides = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert sides["R"] < sides["L"]


def test_pixels_keep_their_proportions_and_the_bar_its_length(scan):
    axes = outline_figure(*scan, SPACING_MM, "scan").axes[0]
    assert axes.get_aspect() == pytest.approx(2.0 / 1.0)
    bar = next(a for a in axes.artists if isinstance(a, AnchoredSizeBar))
    assert bar.size_bar.get_children()[0].get_width() * SPACING_MM[2] == SCALE_BAR_MM


def test_an_outline_at_the_edge_of_the_slice_is_closed(scan):
    predicted = box(4, slice(0, 10), slice(0, 10))
    axes = outline_figure(scan[0], predicted, predicted, SPACING_MM, "scan").axes[0]
    vertices = outlines(axes)[MODEL_COLOUR]
    assert vertices.min() == -0.5
    assert axes.get_xlim() == (-0.5, SHAPE[2] - 0.5)


def test_a_scan_neither_outlined_is_drawn_without_outlines(scan):
    empty = np.zeros(SHAPE, dtype=bool)
    axes = rendered(outline_figure(scan[0], empty, empty, SPACING_MM, "clear")).axes[0]
    assert not outlines(axes)
    assert axes.get_title() == "clear"


def test_a_gallery_draws_every_scan_of_a_stream_in_order(scan):
    titles = ["internal 1", "internal 2", "external 1", "external 2"]
    figure = rendered(outline_gallery(axial_panel(*scan, SPACING_MM, t) for t in titles))
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == titles
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model", "consensus"]


def test_a_gallery_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one scan"):
        outline_gallery([])
