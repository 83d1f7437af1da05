import pytest
from matplotlib.figure import Figure
from PIL import Image

from coala_kedro.datasets import FigureDataset, PictureDataset
from coala_kedro.report.canvas import dots, panels


@pytest.fixture
def figure():
    made = panels(["internal"], "x", "y")
    dots(made, 0, [1.0, 2.0], [3.0, None], "teacher", 0)
    return made


def test_a_figure_comes_back_and_has_its_pictures_beside(tmp_path, figure):
    dataset = FigureDataset(filepath=str(tmp_path / "figures" / "dice.json"))
    dataset.save(figure)
    assert dataset.load() == figure
    png, svg = dataset.artifacts
    assert Image.open(png).size[0] > 500
    assert "internal" in (tmp_path / "figures" / "dice.svg").read_text()
    assert svg.endswith("dice.svg")


def test_kedro_viz_shows_it_as_plotly(tmp_path, figure):
    dataset = FigureDataset(filepath=str(tmp_path / "dice.json"))
    dataset.save(figure)
    assert "PlotlyPreview" in str(FigureDataset.preview.__annotations__["return"])
    assert dataset.preview()["data"][0]["x"] == [1.0, 2.0]


def test_a_picture_loads_as_the_bytes_of_its_file(tmp_path):
    dataset = PictureDataset(filepath=str(tmp_path / "outlines.png"))
    dataset.save(Figure(figsize=(1, 1)))
    assert dataset.load() == (tmp_path / "outlines.png").read_bytes()
