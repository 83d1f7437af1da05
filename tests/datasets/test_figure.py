import base64

import pytest
from matplotlib.figure import Figure
from PIL import Image

from coala_kedro.datasets import FigureDataset, PictureDataset
from coala_kedro.report.plots import dots, panels


@pytest.fixture
def figure():
    made, (axes,) = panels(["internal"], "x", "y")
    dots(axes, [1.0, 2.0], [3.0, float("nan")], "teacher", 0, ["a", "b"])
    return made


def test_a_figure_is_kept_as_png_and_svg_and_loads_as_svg(tmp_path, figure):
    dataset = FigureDataset(filepath=str(tmp_path / "figures" / "dice.png"))
    assert not dataset.exists()
    dataset.save(figure)
    png, svg = dataset.artifacts
    assert Image.open(png).size[0] > 500
    assert svg.endswith("dice.svg")
    assert dataset.load() == (tmp_path / "figures" / "dice.svg").read_text()
    assert dataset.load().startswith("<svg")
    assert "internal" in dataset.load()
    assert dataset.exists()


def test_kedro_viz_shows_its_png(tmp_path, figure):
    dataset = FigureDataset(filepath=str(tmp_path / "dice.png"))
    dataset.save(figure)
    assert "ImagePreview" in str(FigureDataset.preview.__annotations__["return"])
    assert base64.b64decode(dataset.preview()) == (tmp_path / "dice.png").read_bytes()


def test_a_picture_loads_as_the_bytes_of_its_file(tmp_path):
    dataset = PictureDataset(filepath=str(tmp_path / "outlines.png"))
    dataset.save(Figure(figsize=(1, 1)))
    assert dataset.load() == (tmp_path / "outlines.png").read_bytes()
