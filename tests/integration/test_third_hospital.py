"""A third hospital joins the miniature study by configuration alone."""

import shutil

import pandas as pd
import pytest
import yaml
from reading import Page

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

COHORTS = ["internal", "external", "boston"]
BOSTON = {
    "prefix": "BOS",
    "seed": 3,
    "patients": {"test": {"scanned_pre_and_post": 1}},
    "scanner": {
        "size_voxels": [52, 46, 30],
        "spacing_mm": [6.0, 6.0, 6.8],
        "noise_hu": 9,
        "blur_mm": 2.5,
        "enhancement": 0.98,
    },
}


@pytest.fixture(scope="module")
def study(miniature, conf, tmp_path_factory):
    """The miniature with an environment that names a third hospital, run again."""
    folder = tmp_path_factory.mktemp("third")
    parts = [path.name for path in miniature.data.iterdir()]
    study = miniature.copy(folder / "data", *parts).in_environment("third")
    place = study.project / "conf" / "third"
    shutil.copytree(study.project / "conf" / "demo", place)
    like = conf("demo")["parameters"]["phantom"]["external"]
    boston = {name: like[name] for name in ("metastases", "readers")} | BOSTON
    globals_ = yaml.safe_load((place / "globals.yml").read_text())
    for name, content in (
        ("globals.yml", globals_ | {"external_cohorts": COHORTS[1:]}),
        ("boston/parameters.yml", {"phantom": {"boston": boston}}),
    ):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(yaml.safe_dump(content))
    study.run("--pipelines", "phantom,preprocessing,evaluation", log=folder / "third.log")
    return study


def reported(study, name):
    return pd.read_csv(study.data / "08_reporting" / f"{name}.csv")


def test_its_scans_are_tested_beside_the_others(study, miniature):
    metrics, before = (reported(s, "scan_metrics") for s in (study, miniature))
    assert [*metrics["cohort"].unique()] == COHORTS
    of_boston = metrics[metrics["cohort"] == "boston"]
    scans = ["BOS001_post", "BOS001_pre"]
    for model in ("teacher", "student"):
        assert sorted(of_boston.loc[of_boston["model"] == model, "scan_id"]) == scans
    others = metrics[metrics["cohort"] != "boston"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, before, check_dtype=False)


@pytest.mark.parametrize("name", ["summary", "lesion_summary", "agreement", "paper_comparison"])
def test_every_frame_has_it_and_keeps_the_others(study, miniature, name):
    frame, before = (reported(s, name) for s in (study, miniature))
    assert {*frame["cohort"]} == {*COHORTS}
    others = frame[frame["cohort"] != "boston"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, before, check_dtype=False)


def test_table_2_has_columns_of_it(study):
    columns = [*reported(study, "table_2").columns]
    assert columns[1:] == [f"{c}, {model}" for c in COHORTS for model in ("teacher", "student")]


def test_the_report_shows_it(study):
    html = (study.data / "08_reporting" / "report.html").read_text()
    assert html.count("Boston cohort") == html.count("External cohort") > 10
    places = [place for _, place, _ in Page(html).figures]
    assert any(place.startswith("boston_table_1.csv") for place in places)
    assert "and from others" in html
    flow = reported(study, "cohort_flow")
    rows = flow[flow["cohort"] == "boston"].set_index("step")["n_scans"]
    assert (rows["came in"], rows["used"], rows["tested"]) == (2, 2, 2)
    assert (study.data / "08_reporting" / "boston_screening.csv").exists()
