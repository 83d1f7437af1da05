"""Tables, figures and pages of nodes: made once, and again when what they follow from changes."""

import pandas as pd
import pytest
import SimpleITK as sitk
from kedro.framework.project import pipelines
from kedro.io import MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from kedro_datasets.pandas import CSVDataset
from pydantic import BaseModel

from coala_kedro import standing
from coala_kedro.catalog import WholeFileCatalog
from coala_kedro.datasets import FigureDataset, LazyVolume, TableDataset, TextDataset
from coala_kedro.pipelines import EVERY_RUN, fixed, kept
from coala_kedro.report.plots import nothing

SCANS = pd.DataFrame({"scan_id": ["a", "b"], "dice": [0.5, 0.75]})


class Settings(BaseModel):
    power: int = 1


@pytest.fixture
def study(tmp_path):
    """A small study; `run` tells which of its nodes were called."""
    return Study(tmp_path)


class Study:
    def __init__(self, folder):
        self.folder, self.called = folder, []
        self.scans, self.settings, self.picture = SCANS, Settings(), b"png"
        self.volume, self.model, self.save_args = folder / "volume.nii.gz", "teacher", {}
        self.draw(1)

    def draw(self, value):
        sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkUInt8) + value, str(self.volume))

    def path(self, name):
        return self.folder / "tables" / name

    def run(self):
        self.called.clear()
        SequentialRunner().run(self._pipeline(), self._catalog())
        return [*self.called]

    def _pipeline(self):
        def measure(scans, settings, volumes, model):
            self.called.append("measure")
            size = sitk.GetArrayFromImage(volumes["a"]()).sum()
            measured = scans.assign(dice=scans["dice"] ** settings.power, size=size, model=model)
            return measured, measured.describe().reset_index()

        def draw(measured):
            self.called.append("draw")
            return nothing(f"{len(measured)} scans")

        def write(measured, figure, picture):
            self.called.append("write")
            return f"{measured.to_csv()} {len(figure)} {picture}"

        return kept(
            Pipeline(
                [
                    Node(
                        fixed(measure, model=self.model),
                        ["scans", "settings", "volumes"],
                        ["measured", "described"],
                        name="measure",
                    ),
                    Node(draw, "measured", "figure", name="draw"),
                    Node(write, ["measured", "figure", "picture"], "page", name="write"),
                    Node(lambda: self.called.append("day") or "day", None, "day", name="day",
                         tags=EVERY_RUN),
                ]
            )
        )  # fmt: skip

    def _catalog(self):
        return WholeFileCatalog(
            {
                "scans": MemoryDataset(self.scans),
                "settings": MemoryDataset(self.settings, copy_mode="assign"),
                "picture": MemoryDataset(self.picture),
                "volumes": MemoryDataset({"a": LazyVolume(str(self.volume))}, copy_mode="assign"),
                "measured": TableDataset(filepath=str(self.path("measured.csv"))),
                "described": CSVDataset(
                    filepath=str(self.path("described.csv")), save_args=self.save_args
                ),
                "figure": FigureDataset(filepath=str(self.path("figure.png"))),
                "page": TextDataset(filepath=str(self.path("page.html"))),
                "day": TextDataset(filepath=str(self.path("day.txt"))),
            }
        )


ALL = ["day", "measure", "draw", "write"]


def test_nothing_is_made_twice_but_what_tells_of_the_run(study):
    assert sorted(study.run()) == sorted(ALL)
    before = {path: path.stat().st_mtime_ns for path in study.path("").glob("[!.]*")}
    assert len(before) == 6
    assert study.run() == ["day"]
    after = {path: path.stat().st_mtime_ns for path in study.path("").glob("[!.]*")}
    assert {path.name for path in before if before[path] != after[path]} == {"day.txt"}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda s: setattr(s, "scans", SCANS.assign(dice=[0.5, 0.8])), ALL),
        (lambda s: setattr(s, "scans", SCANS.astype({"dice": "Float64"})), ["day", "measure"]),
        (lambda s: setattr(s, "settings", Settings(power=2)), ALL),
        (lambda s: s.draw(2), ALL),
        (lambda s: setattr(s, "model", "student"), ALL),
        (lambda s: setattr(s, "picture", b"another"), ["day", "write"]),
        (lambda s: setattr(s, "save_args", {"sep": ";"}), ["day", "measure"]),
        (lambda s: s.path("measured.csv").unlink(), ["day", "measure"]),
        (lambda s: s.path("measured.csv").write_text("scan_id\nmine\n"), ["day", "measure"]),
        (lambda s: s.path("figure.svg").unlink(), ["day", "draw"]),
        (lambda s: s.path(".made/page.html.json").unlink(), ["day", "write"]),
        (lambda s: s.path(".made/page.html.json").write_text("{"), ["day", "write"]),
    ],
)
def test_what_follows_from_a_change_is_made_again(study, change, again):
    study.run()
    before = {path.name: path.read_bytes() for path in study.path("").glob("[!.]*")}
    change(study)
    assert sorted(study.run()) == sorted(again)
    if again != ALL and not study.save_args and study.picture == b"png":
        assert {path.name: path.read_bytes() for path in study.path("").glob("[!.]*")} == before
    assert study.run() == ["day"]


def test_a_missing_text_is_another_than_an_empty_one(study):
    study.scans = SCANS.assign(reader=["r", ""])
    study.run()
    study.scans = SCANS.assign(reader=["r", None])
    assert "measure" in study.run()


def test_a_change_of_the_code_makes_all_again(study, tmp_path, monkeypatch):
    study.run()
    package = tmp_path / "coala_kedro"
    package.mkdir()
    (package / "standing.py").write_text("changed = True")
    monkeypatch.setattr(standing, "__file__", str(package / "standing.py"))
    standing.code_fingerprint.cache_clear()
    try:
        assert sorted(study.run()) == sorted(ALL)
        assert study.run() == ["day"]
    finally:
        standing.code_fingerprint.cache_clear()


def test_a_step_that_fails_leaves_what_was_there_and_is_made_next_time(study):
    study.run()
    study.scans = SCANS.drop(columns="dice")
    with pytest.raises(KeyError):
        study.run()
    study.scans = SCANS
    assert study.run() == ["day"]


def test_the_evaluation_stands_but_for_predictions_and_settings(project):
    made = [n.name for n in pipelines["evaluation"].nodes if n.tags & {"gpu", EVERY_RUN}]
    assert {name.rpartition(".")[2] for name in made} == {"predict_test", "describe_run"}
    others = [n for n in pipelines["evaluation"].nodes if n.name not in made]
    assert len(others) > 30
    for node in others:
        made = node.run(dict.fromkeys(node.inputs, 0))  # zeros would fail if it were computed
        assert all(isinstance(output, standing.Result) for output in made.values())
