import dataclasses
import functools
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field

from coala_kedro.datasets import LazyVolume
from coala_kedro.fingerprint import (
    DECIDES_NOTHING,
    changes,
    describe,
    file_fingerprint,
    fingerprint,
    recipe,
)


class Settings(BaseModel):
    epochs: int = 10


class OtherSettings(BaseModel):
    epochs: int = 10


@dataclasses.dataclass(frozen=True)
class Grid:
    spacing_mm: tuple[float, ...] = (1.0, 1.0, 5.0)

    def resample(self):
        return self.spacing_mm

    def crop(self):
        return self.spacing_mm


class Machine:
    def __init__(self, cores):
        self.cores = cores
        self.fingerprint = ""


def train(*args, **kwargs):
    return args, kwargs


def predict(*args, **kwargs):
    return args, kwargs


class Case(BaseModel):
    patient: str


class SettingsWithOption(Settings):
    option: bool = False
    every: int = Field(50, json_schema_extra=DECIDES_NOTHING)


@recipe("named")
def named(scan, settings=None, option=False):
    return scan, settings, option


@recipe("another")
def renamed(scan):
    return scan


@recipe("named", version=2)
def changed(scan):
    return scan


@recipe("named", limit_hu=2)
def with_limit(scan):
    return scan


@recipe("named", limit_hu=3)
def with_limit_3(scan):
    return scan


def recipe_with(value):
    return lambda: value


def write_gzip(path, content):
    path.write_bytes(gzip.compress(content, mtime=0))
    return path


PAIRS = {
    "argument": (functools.partial(train, 1), functools.partial(train, 2)),
    "keyword": (functools.partial(train, epochs=1), functools.partial(train, epochs=2)),
    "keyword's name": (functools.partial(train, a=1), functools.partial(train, b=1)),
    "function": (functools.partial(train, 1), functools.partial(predict, 1)),
    "class": (functools.partial(Settings), functools.partial(OtherSettings)),
    "name of a recipe": (functools.partial(named, 1), functools.partial(renamed, 1)),
    "version of a recipe": (functools.partial(named, 1), functools.partial(changed, 1)),
    "constant of a recipe": (functools.partial(named, 1), functools.partial(with_limit, 1)),
    "another constant": (functools.partial(with_limit, 1), functools.partial(with_limit_3, 1)),
    "input of a recipe": (functools.partial(named, 1), functools.partial(named, 2)),
    "closure": (recipe_with(1), recipe_with(2)),
    "default": (lambda n=1: n, lambda n=2: n),
    "keyword-only default": (lambda *, n=1: n, lambda *, n=2: n),
    "method": (Grid().resample, Grid().crop),
    "object of a method": (Grid().resample, Grid((1.0, 1.0, 3.0)).resample),
    "pydantic field": (Settings(), Settings(epochs=11)),
    "field without a default": (Case(patient="a"), Case(patient="b")),
    "dataclass field": (Grid(), Grid((1.0, 1.0, 3.0))),
    "cell of a frame": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
    "column of a frame": (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    "voxel": (np.zeros((2, 3), np.uint8), np.array([[0, 0, 0], [0, 0, 1]], np.uint8)),
    "shape": (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)),
    "type of an array": (np.zeros(2, np.uint8), np.zeros(2, np.int8)),
    "order of a list": ([1, 2], [2, 1]),
    "key": ({"pre": 1}, {"post": 1}),
    "number or text": (1, "1"),
    "depth of a list": ([[1], 2], [1, [2]]),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS.keys())
def test_changes_with(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: functools.partial(train, [1, None], epochs=2.5),
        lambda: recipe_with({"seed": 1}),
        lambda: Grid().resample,
        Settings,
        lambda: pd.DataFrame({"a": [0.1, np.nan]}),
        lambda: np.arange(6).reshape(2, 3)[:, ::2],
        lambda: {"path": Path("a"), "scalar": np.float32(0.5), "flag": np.True_},
    ],
    ids=["partial", "closure", "method", "pydantic", "frame", "array", "mapping"],
)
def test_is_the_same_for_equal_things(make):
    assert fingerprint(make()) == fingerprint(make())
    assert len(fingerprint(make())) == 16


SAME = {
    "an option that nobody uses": (
        functools.partial(named, 1, Settings(epochs=3)),
        functools.partial(named, 1, SettingsWithOption(epochs=3)),
    ),
    "a parameter at its default": (
        functools.partial(named, 1),
        functools.partial(named, 1, option=False),
    ),
    "what decides nothing": (SettingsWithOption(every=1), SettingsWithOption(every=50)),
    "by position or by name": (functools.partial(named, 1), functools.partial(named, scan=1)),
    "an input that decides nothing": (
        functools.partial(named, 1),
        functools.partial(named, 1, settings=Machine(4)),
    ),
    "name of the parameters' class": (Settings(epochs=3), OtherSettings(epochs=3)),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_does_not_change_with(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_a_function_that_moves_or_gets_another_name_is_the_same_recipe():
    def moved(scan, settings=None, option=False):
        """Elsewhere, and called otherwise."""

    moved.__module__ = "coala_kedro.elsewhere"
    one, other = functools.partial(named, 1), functools.partial(recipe("named")(moved), 1)
    assert fingerprint(one) == fingerprint(other)


def test_a_recipe_of_this_project_without_a_name_is_refused():
    def nameless(scan):
        return scan

    nameless.__module__ = "coala_kedro.pipelines.new"
    with pytest.raises(TypeError, match="@recipe"):
        fingerprint(functools.partial(nameless, 1))


def test_does_not_depend_on_the_order_of_a_mapping():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_changes_with_the_content_of_an_input_file_and_not_with_its_path(tmp_path):
    first = write_gzip(tmp_path / "first.nii.gz", b"one")
    moved = write_gzip(tmp_path / "moved.nii.gz", b"one")
    before, elsewhere = (
        fingerprint(functools.partial(train, LazyVolume(str(path)))) for path in (first, moved)
    )
    assert before == elsewhere
    write_gzip(first, b"two")
    assert fingerprint(functools.partial(train, LazyVolume(str(first)))) != before


def test_an_object_with_an_empty_fingerprint_changes_nothing():
    one, other = (functools.partial(train, compute=Machine(cores)) for cores in (1, 64))
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", [object()], print])
def test_what_cannot_be_told_is_refused(value):
    with pytest.raises(TypeError, match="No fingerprint for"):
        fingerprint(functools.partial(train, value))


def test_a_changed_gzip_file_is_noticed_by_its_trailer(tmp_path):
    path = write_gzip(tmp_path / "scan.nii.gz", b"\x00" * 4096)
    before = file_fingerprint(path)
    write_gzip(path, b"\x00" * 4095 + b"\x01")
    assert file_fingerprint(path) != before


def test_a_gzip_file_compressed_anew_is_the_same(tmp_path):
    path = tmp_path / "scan.nii.gz"
    fingerprints = set()
    for level in (1, 9):
        path.write_bytes(gzip.compress(b"voxels" * 1000, level))
        fingerprints.add(file_fingerprint(path))
    assert len(fingerprints) == 1


def test_a_changed_bgzip_file_is_noticed_although_it_ends_with_an_empty_member(tmp_path):
    one, other = tmp_path / "one.gz", tmp_path / "other.gz"
    for path, content in ((one, b"one"), (other, b"two")):
        path.write_bytes(gzip.compress(content) + gzip.compress(b""))
    assert file_fingerprint(one) != file_fingerprint(other)


def test_a_file_that_is_not_compressed_is_read_whole(tmp_path):
    path = tmp_path / "scan.nrrd"
    path.write_bytes(b"a" + b"tail" * 10)
    before = file_fingerprint(path)
    path.write_bytes(b"b" + b"tail" * 10)
    assert file_fingerprint(path) != before


@pytest.mark.slow
def test_is_the_same_in_another_process():
    code = (
        "import functools, sys; sys.path.insert(0, sys.argv[1]);"
        "from test_fingerprint import Grid, Settings, train;"
        "from coala_kedro.fingerprint import fingerprint as f;"
        "print(f(functools.partial(train, Settings(), Grid(), sets={'a': 1, 'b': [2]})))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = fingerprint(functools.partial(train, Settings(), Grid(), sets={"a": 1, "b": [2]}))
    assert there.stdout == f"{here}\n"


def make(**settings):
    """A recipe's function."""


def test_changes_are_named():
    before = functools.partial(make, a=Settings(epochs=2), scans=["a", "b"], data={"x": 1})
    for change, names in (
        ({}, []),
        ({"a": Settings(epochs=3)}, ["a.epochs"]),
        ({"scans": ["a", "c"]}, ["scans"]),
        ({"scans": ["a"], "data": {"x": 1, "y": 2}}, ["data.y", "scans"]),
    ):
        now = functools.partial(make, **before.keywords | change)
        assert changes(describe(before), describe(now)) == names
        assert (fingerprint(before) == fingerprint(now)) == (not names)


def test_a_file_that_is_replaced_is_read_again(tmp_path):
    file, other = tmp_path / "marks.json", tmp_path / "other"
    file.write_text("one")
    one = file_fingerprint(file)
    other.write_text("two")
    other.rename(file)
    assert file_fingerprint(file) != one
