"""The documentation's pages tell of what is there."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml
from evaluated import NORMAL, Cohort, evaluate

from coala_kedro.statistics.comparisons import METRICS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "coala_kedro"
WRITTEN = sorted(ROOT.glob("*.md")) + sorted(DOCS.rglob("*.md"))


@cache
def _text(page):
    return (DOCS / page).read_text(encoding="utf-8")


def _pages(nav):
    for item in nav:
        if isinstance(item, str):
            yield item
        else:
            for below in item.values():
                yield from [below] if isinstance(below, str) else _pages(below)


def test_every_page_is_in_the_navigation():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert set(_pages(settings["nav"])) == written


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_are_there(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)\s#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_module_is_in_the_api():
    shown = {
        name for page in DOCS.glob("api/*.md") for name in re.findall(r"::: (\S+)", _text(page))
    }
    modules = {path.stem for path in PACKAGE.glob("[!_]*.py")} - {"settings"}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert shown == {f"coala_kedro.{name}" for name in modules | rooms}


def test_the_journeys_visit_files_that_are_there():
    journeys = _text("architecture.md").partition("## Three journeys")[2]
    named = re.findall(r"`([a-z_/]+\.py|[a-z_]+/[a-z_]+\.csv)`", journeys)
    assert len(named) > 30
    assert [name for name in named if not (PACKAGE / name).is_file()] == []


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return evaluate(Cohort(*NORMAL), tmp_path_factory.mktemp("study"))


def test_the_statistics_tell_of_every_figure(frames):
    columns = {
        "scan_metrics": None,
        "summary": "metric",
        "lesion_summary": "metric",
        "agreement": "metric",
        "reader_summary": "metric",
        "subgroups": "metric",
        "tests": "test",
    }
    about_the_row = {
        *("model", "cohort", "scan_id", "patient_id", "timepoint", "note"),
        *("slice_thickness_mm", "scanner"),
    }
    names = {*METRICS}
    for frame, column in columns.items():
        found = pd.Series(frames[frame].columns) if column is None else frames[frame][column]
        names |= {*found.unique()} - about_the_row
    told = set(re.findall(r"`([^`]+)`", _text("statistics.md")))
    assert names - told == set()


def test_the_results_tell_of_every_table(frames):
    told = _text("results.md")
    assert [name for name in frames if f"`{name}`" not in told] == []


@pytest.mark.slow
def test_the_site_builds_and_fetches_nothing(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "MS<sub>scans</sub>" in (tmp_path / "statistics.html").read_text(encoding="utf-8")
    fetched = r"<(?:script|img)[^>]+src=.?https?:|<link[^>]+stylesheet[^>]+href=.?https?:"
    for page in tmp_path.rglob("*.html"):
        assert not re.findall(fetched, page.read_text(encoding="utf-8")), page
