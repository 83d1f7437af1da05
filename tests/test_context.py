"""An environment names its external cohorts: what follows without a line of code."""

import shutil
from collections import Counter

import pytest
import yaml
from kedro.framework.hooks.manager import _NullPluginManager
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog, MemoryDataset

from coala_kedro.context import COHORTS, StudyContext, study_cohorts
from coala_kedro.pipeline_registry import register_pipelines

MANY = ("internal", "external", "external_2", "boston")


@pytest.fixture
def write_conf(project, tmp_path):
    """Writes an environment beside the project's own: its files by name, as Python values."""
    shutil.copytree(project / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))

    def write(env, files):
        for name, content in files.items():
            path = tmp_path / "conf" / env / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def context_of(project, tmp_path):
    """Makes a session and its context, as kedro-viz does: no hook is called."""

    def load(env):
        session = KedroSession.create(project_path=tmp_path, env=env, save_on_close=False)
        session._hook_manager = _NullPluginManager()
        return session.load_context()

    yield load
    pipelines.configure("coala_kedro.pipeline_registry")
    StudyContext.cohorts, StudyContext.registered = COHORTS, None


def with_predictions():
    """The cohorts on which Kedro's pipelines test the student."""
    names = pipelines["evaluation"].datasets()
    ends = ("evaluation.student_", ".predictions")
    of_student = (n for n in names if n.startswith(ends[0]) and n.endswith(ends[1]))
    return {name.removeprefix(ends[0]).removesuffix(ends[1]) for name in of_student}


def test_two_environments_in_one_process_have_their_own_cohorts(write_conf, context_of):
    write_conf("west", {"globals.yml": {"external_cohorts": ["boston", "oslo"]}})
    context_of("west")
    assert with_predictions() == {"internal", "boston", "oslo"}
    context_of("base")
    assert with_predictions() == {"internal", "external"}
    context_of("west")
    pipelines.set_requested(["evaluation"])
    context = context_of("west")
    assert with_predictions() == {"internal", "boston", "oslo"}
    assert isinstance(context, StudyContext)


def test_the_cohorts_that_are_known_without_an_environment_are_those_of_base(conf):
    assert ("internal", *conf("base")["globals"]["external_cohorts"]) == COHORTS


@pytest.mark.parametrize(
    ("external", "fault"),
    [
        ("boston", "must be a list"),
        ([], "must be a list"),
        (["internal"], "'internal' is taken"),
        (["oslo", "student"], "'student' is taken"),
        (["oslo", "oslo"], "'oslo' is there twice"),
        (["Oslo"], "'Oslo' must be small letters"),
        (["../oslo"], "must be small letters"),
        ([1], "'1' must be small letters"),
        (["oslo_lesion"], "must not end in _lesion"),
    ],
)
def test_names_that_cannot_be_are_refused_before_a_run(write_conf, context_of, external, fault):
    write_conf("west", {"globals.yml": {"external_cohorts": external}})
    with pytest.raises(ValueError, match=fault):
        context_of("west")


@pytest.fixture
def study(monkeypatch):
    """The pipelines of many cohorts."""
    monkeypatch.setattr(StudyContext, "cohorts", study_cohorts(MANY[1:]))
    return register_pipelines()


def place_of(dataset):
    """The file or folder of a dataset."""
    described = dataset._describe()
    return str(described["filepath"] if "filepath" in described else described["path"])


def named_as(cohort, name):
    """The external cohort's dataset as another cohort's."""
    return name.replace("external", cohort)


def test_every_cohort_has_entries_and_files_of_its_own(study, project, conf):
    catalog = DataCatalog.from_config(conf("base")["catalog"])
    names = {n for n in study["__default__"].datasets() if not n.startswith("params:")}
    of_external = {n for n in names if "external" in n and "external_2" not in n}
    for cohort in MANY[2:]:
        assert {named_as(cohort, name) for name in of_external} < names
        for name in of_external:
            pattern = catalog.config_resolver.match_dataset_pattern
            assert pattern(named_as(cohort, name)) == pattern(name), name
    datasets = {name: catalog.get(name) for name in names}
    assert not any(isinstance(d, MemoryDataset | None) for d in datasets.values())
    places = Counter(place_of(d) for n, d in datasets.items() if not n.endswith("segmenter"))
    assert [place for place, n in places.items() if n > 1] == []


def test_nobody_of_the_internal_cohort_may_be_in_any_other(study):
    nodes = {node.name: node for node in study["preprocessing"].nodes}
    for cohort in MANY:
        taken = {name for name in nodes[f"{cohort}.accept_scans"].inputs if "internal." in name}
        also = {"internal.usable_scans", "internal.inspected"}
        assert (also <= taken) == (cohort != "internal"), cohort


def test_environments_of_hospitals_become_one_study(write_conf, context_of, project):
    """As docs/bringing_a_hospital.md says: a folder for each, and globals.yml names them."""
    boston = {
        "boston.scan_table": {
            "type": "coala_kedro.datasets.ScanTableDataset",
            "filepath": "/boston/scans.csv",
        },
        "boston.raw_scans": {
            "type": "coala_kedro.datasets.HospitalVolumesDataset",
            "path": "/boston",
            "pattern": "{scan_id}/*.dcm",
            "format": "dicom_series",
        },
    }
    files = {
        "globals.yml": {"external_cohorts": ["external", "boston"]},
        "boston/catalog.yml": boston,
        "tcia_crlm/catalog.yml": {},
    }
    place = write_conf("west", files)
    shutil.copy(project / "conf/tcia_crlm/catalog.yml", place / "conf/west/tcia_crlm")

    context = context_of("west")
    assert with_predictions() == {"internal", "external", "boston"}
    catalog = context.catalog
    paths = {
        "external.scan_table": "data/01_raw/tcia_crlm/external/scans.csv",
        "external.raw_scans": "data/01_raw/tcia_crlm/colorectal_liver_metastases",
        "boston.scan_table": "/boston/scans.csv",
        "boston.raw_scans": "/boston",
        "boston.raw_reader_masks": "data/01_raw/boston/readers",
        "boston.scans": "data/02_intermediate/boston/scans",
        "evaluation.student_boston.predictions": "data/07_model_output/student_boston",
    }
    for name, path in paths.items():
        assert place_of(catalog.get(name)).endswith(path), name
