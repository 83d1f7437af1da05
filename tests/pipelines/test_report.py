"""The report from frames to its page: every figure from its CSV, and words where there is none."""

import re

import pandas as pd
import pytest
from browser import check_in_browser, needs_chromium, opened
from evaluated import NORMAL, ODD, Cohort, evaluate, scan
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from reading import Page, Tables, is_rounding_of, is_value_of

from coala_kedro.context import COHORTS
from coala_kedro.pipelines.evaluation import report
from coala_kedro.pipelines.evaluation.pictures import Drawing
from coala_kedro.report.plots import svg
from coala_kedro.statistics.cohort_table import table_1

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("report")]

SECTIONS = [
    "At a glance", "The scans: from the hospital to the test", "Patients", "Training", "Results",
    "The paper beside the run", "Agreement of tumour volume", "Tests", "Readers", "Lesions",
    "Subgroups", "Failures", "Structures", "Screening", "Methods", "CLAIM 2024 checklist",
]  # fmt: skip
KNOWN = {"95", "0", "0.1", "1", "1.5", "2", "3", "10", "2024", "95th"}
"""Numbers that the words define and no study changes: 95 % intervals, 10 mm from the border …"""
FINDINGS = ["scan_id", "code", "severity", "subject", "measured", "limit", "remedy"]
REFUSED = ("z_pre", "no_air", "refuse", "scan", "24", "-500", "are these <HU>?")
REVIEW = {
    "scan_id": ["u"], "n_lesions": [1], "crlm_ml": [2.5], "fold_agreement": [float("nan")],
    "accepted": [True], "reason": ["accepted"],
}  # fmt: skip
VALIDATION = {
    "stage": ["lowres"], "fold": [0], "scan_id": ["m"], "structure": ["crlm"], "dice": [0.5],
}  # fmt: skip
CURVES = {
    "stage": ["lowres", "lowres", "cascade"], "fold": [0, 0, 0], "epoch": [0, 1, 0],
    "train_loss": [1.0, 0.5, 0.3], "validation_loss": [1.1, 0.7, 0.4],
    "pseudo_dice_crlm": [0.0, 0.6, 0.7],
}  # fmt: skip
COST = {
    "model": ["teacher"], "stage": ["lowres"], "fold": [0], "device": ["cpu"], "epochs": [2],
    "epochs_trained": [3], "attempts": [2], "hours": [0.123456789],
}  # fmt: skip
PNG = b"\x89PNG outlines"


class Study:
    """A study's frames in the files of the catalog, and the report from what those files say."""

    def __init__(self, scans, folder, project, conf, findings=(), trained_here=True):
        parameters = conf("base")["parameters"]
        arguments = {"base_env": "base", "default_run_env": "base"}
        entries = OmegaConfigLoader(
            str(project / "conf"), runtime_params={"data": str(folder)}, **arguments
        )["catalog"]
        self.folder = folder / "08_reporting"
        self._catalog = DataCatalog.from_config(entries)
        self._drawing = Drawing(**parameters["drawing"])
        cohort = Cohort(*scans)
        for name, frame in evaluate(cohort, folder).items():
            self._save(name, frame)
        came_in = pd.concat(
            [cohort.accepted, pd.DataFrame([scan("z", "pre")]).drop(columns=["lesions", "found"])]
        )
        for name in COHORTS:
            accepted = cohort.accepted if name == "internal" else cohort.accepted.iloc[:0]
            table = came_in if name == "internal" else came_in.iloc[:0]
            told = pd.DataFrame(findings if name == "internal" else [], columns=FINDINGS)
            self._save(f"{name}.screening", told)
            self._save(f"{name}.table_1", table_1(accepted))
            self._save(f"{name}.accepted_scans", accepted)
            self._save(f"{name}.usable_scans", table)
        if trained_here:
            self._save("pseudo_label_review", pd.DataFrame(REVIEW))
            for model in ("teacher", "student"):
                self._save(f"{model}.cross_validation", pd.DataFrame(VALIDATION))
                self._save(f"{model}.training_curves", pd.DataFrame(CURVES))
                self._save(f"{model}.training_cost", pd.DataFrame(COST))
        asked = {name: parameters[name] for name in report.PARAMETERS}
        settings, checklist = report.describe_run(COHORTS, **asked)
        self._save("settings", settings)
        self._save("claim_checklist", checklist)
        self._save("cohort_flow", report.count_scans(
            self._load("pseudo_label_review"), self._load("scan_metrics"),
            **{f"{name}_{frame}": self._load(f"{name}.{entry}")
               for name in COHORTS
               for frame, entry in (("scan_table", "usable_scans"),
                                    ("accepted_scans", "accepted_scans"),
                                    ("screening", "screening"))}))  # fmt: skip

    def _save(self, name, frame):
        self._catalog.save(name, frame)

    def _load(self, name):
        return self._catalog.load(name)

    def html(self, tested=True, **drawing):
        """The report; of a study that has tested nothing, if so told."""

        def load(name):
            frame = self._load(name)
            about_cases = (
                name in {"settings", "claim_checklist", "cohort_flow"} or "table_1" in name
            )
            return frame if tested or about_cases else frame.iloc[:0]

        figures = {
            f"{name}_figure": svg(draw(*map(load, frames)), name)
            for name, (draw, frames) in report.FIGURES.items()
        }
        frames = {name.replace(".", "_"): load(name) for name in report.frames_shown(COHORTS)}
        return report.write_report(
            self._drawing.model_copy(update=drawing), worst_scans_outlined=PNG, **frames, **figures
        )


@pytest.fixture(scope="module")
def study(tmp_path_factory, project, conf):
    return Study(NORMAL, tmp_path_factory.mktemp("study"), project, conf, [REFUSED])


@pytest.fixture(scope="module")
def html(study):
    return study.html()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def not_of_their_csv(page, folder):
    tables = Tables(folder)
    return [
        (value, place, shown)
        for value, place, shown in page.figures
        if not is_value_of(value, tables.text(place)) or not is_rounding_of(shown, value)
    ]


def test_every_figure_is_that_of_its_csv(page, study):
    assert len(page.figures) > 1000
    assert {place.split(",")[0] for _, place, _ in page.figures} >= {
        "summary.csv", "lesion_summary.csv", "reader_summary.csv", "tests.csv", "subgroups.csv",
        "worst_scans.csv", "paper_comparison.csv", "ttv_classes.csv", "cohort_flow.csv",
        "settings.csv", "claim_checklist.csv", "internal_table_1.csv", "pseudo_label_review.csv",
    }  # fmt: skip
    assert not_of_their_csv(page, study.folder) == []


def test_a_figure_that_is_not_in_its_csv_is_noticed(page, study, html):
    value, place, shown = next(f for f in page.figures if f[1].startswith("summary.csv"))
    forged = html.replace(f'<data value="{value}" data-at="{place}">{shown}<',
                          f'<data value="{value}1" data-at="{place}">{shown}<')  # fmt: skip
    assert not_of_their_csv(Page(forged), study.folder)


def test_no_number_stands_loose_in_the_words(page):
    assert {*page.loose_numbers} - KNOWN == set()


def test_all_sections_are_there_and_in_the_contents(page, html):
    assert page.titles == SECTIONS
    anchors = re.findall(r'<li><a href="#([^"]+)">', html)
    assert len(anchors) == len(SECTIONS)
    assert all(f'<section id="{anchor}">' in html for anchor in anchors)


def test_the_browser_is_forbidden_to_ask_the_network(html):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:", policy)
    loaded = re.findall(r"""<(?!a\b)[^<>]*\b(?:src|href)=["']([^"']*)""", html)
    assert {address.split(":")[0] for address in loaded if not address.startswith("#")} == {"data"}


def test_dots_say_which_scan_they_are(html):
    figure = html.split('id="plot-volumes"')[1].split("</svg>")[0]
    scans = re.findall(r"<title>(\S+)\nmodel [\d.]+ mL, consensus [\d.]+ mL</title>", figure)
    assert sorted({*scans}) == sorted(one["scan_id"] for one in NORMAL)


def test_refused_scans_are_told_with_reason_and_remedy(html):
    assert "are these &lt;HU&gt;?" in html
    assert "no air" in html


def test_patients_are_shown_only_if_they_may_be(study, html):
    assert '<img src="data:image/png;base64,' in html
    without = study.html(pictures_in_report=False)
    assert "<img" not in without
    assert "Pictures of patients are left out" in without


def test_methods_tell_of_this_run(page, conf):
    told = {place: shown for _, place, shown in page.figures if place.startswith("settings.csv")}
    protocol = conf("base")["parameters"]["protocol"]
    methods = " ".join(told.values())
    assert str(protocol["epochs"]) in methods
    assert "2.8" in methods


def test_models_that_were_trained_elsewhere_have_no_training_to_show(tmp_path, project, conf):
    study = Study(NORMAL[:2], tmp_path, project, conf, trained_here=False)
    page = Page(study.html())
    assert "No fold was validated here on a scan with CRLM." in page.missing
    assert "No curve was kept of these trainings." in page.missing
    assert "No scan was pseudo-labelled." in [text for _, text in page.words]


def test_a_study_that_has_tested_nothing_says_so(study):
    page = Page(study.html(tested=False))
    assert page.titles == SECTIONS
    words = [text for _, text in page.words]
    assert "No scan was tested: the study has no results yet." in words
    assert "No scan was tested." in page.missing


@pytest.fixture(scope="module")
def path(html, tmp_path_factory):
    made = tmp_path_factory.mktemp("page") / "report.html"
    made.write_text(html)
    return made


@needs_chromium
def test_the_page_opens_and_prints(path):
    check_in_browser(path, SECTIONS)


@needs_chromium
def test_without_scripts_figures_are_there_too(path):
    with opened(path, scripts=False) as shown:
        shown.page.locator("summary").first.click()
        assert len(shown.plots()) > 5
        assert all(plot.is_visible() for plot in shown.plots().values())


@needs_chromium
def test_a_request_would_be_refused(path):
    with opened(path) as shown:
        asked = "fetch('http://localhost:9/').then(() => 'sent', (error) => error.message)"
        assert shown.page.evaluate(asked) == "Failed to fetch"
        assert any("Content Security Policy" in text for text in shown.complaints)
        assert not any("localhost" in url for url in shown.requests)


@pytest.mark.parametrize("name", list(ODD))
def test_an_odd_cohort_has_words_where_a_figure_cannot_be(name, tmp_path, project, conf):
    study = Study(ODD[name], tmp_path, project, conf)
    html = study.html()
    page = Page(html)
    assert page.titles == SECTIONS
    assert page.missing
    assert not_of_their_csv(page, study.folder) == []
    shown = [shown for _, _, shown in page.figures] + [text for _, text in page.words]
    assert not re.search(r"\b[Nn]a[Nn]\b|\bNone\b|<NA>", " ".join(shown + page.missing))
    assert "not defined" not in page.missing, "a reason is known, but not told"
