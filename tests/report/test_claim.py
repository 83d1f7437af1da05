import re
from datetime import date
from importlib.metadata import version

import pytest

from coala_kedro.context import COHORTS
from coala_kedro.pipelines.evaluation.report import PARAMETERS, describe_run
from coala_kedro.report.claim import claim_table
from coala_kedro.report.run_settings import settings_table


@pytest.fixture(scope="module")
def described(conf):
    parameters = conf("base")["parameters"]
    return describe_run(COHORTS, **{name: parameters[name] for name in PARAMETERS})


def test_every_parameter_and_version_is_told(described):
    settings, _ = described
    values = settings.set_index("setting")["value"]
    assert values.index.is_unique
    assert values["protocol.epochs"] == "1000"
    assert values["protocol.optimiser.initial_learning_rate"] == "0.05"
    assert values["screening.severity"] == "{}"
    assert values["inference.mirroring"] == "yes"
    assert values["folds"] == "5"
    assert values["version nnunetv2"] == version("nnunetv2")


def test_the_date_is_that_of_the_report():
    settings = settings_table({}, date(2024, 11, 22)).set_index("setting")["value"]
    assert settings["report written on"] == "2024-11-22"


def test_all_items_of_the_checklist_are_answered_by_the_run(described):
    _, checklist = described
    assert list(checklist["item"]) == [*range(1, 45)]
    assert {*checklist["answered"]} == {"yes", "partly", "no"}
    assert not checklist["answer"].str.contains("[{}]").any()
    assert "1000 epochs" in " ".join(checklist["answer"])
    assert re.search(rf"nnU-Net {re.escape(version('nnunetv2'))}", " ".join(checklist["answer"]))


def test_what_the_software_cannot_know_is_the_authors(described):
    _, checklist = described
    unanswered = checklist[checklist["answered"] == "no"]["answer"]
    assert unanswered.str.startswith("Not answered by the software: ").all()


def test_an_answer_that_names_an_unknown_setting_is_an_error():
    settings = settings_table({}, date(2024, 1, 1)).query("setting != 'version nnunetv2'")
    with pytest.raises(KeyError, match="version nnunetv2"):
        claim_table(settings, COHORTS)


@pytest.mark.parametrize(
    ("cohorts", "hospitals", "sources"),
    [
        (
            COHORTS,
            "an internal and an external hospital.",
            "Two cohorts, internal and external; see The scans.",
        ),
        (
            (*COHORTS, "boston"),
            "an internal hospital and 2 external ones.",
            "Cohorts: internal, external, boston; see The scans.",
        ),
    ],
)
def test_the_checklist_tells_of_every_cohort(described, cohorts, hospitals, sources):
    answers = claim_table(described[0], cohorts)["answer"]
    assert answers[5].endswith(hospitals)
    assert answers[6].startswith(sources)
