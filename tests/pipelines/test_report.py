import pandas as pd
import pytest

from coala_kedro.pipelines.evaluation.report import write_report

SCANS = pd.DataFrame(
    {
        "scan_id": ["a", "b", "c"],
        "patient_id": ["p", "p", "q"],
        "role": ["manual", "unlabelled", "test"],
    }
)
FINDINGS = pd.DataFrame(
    [("b", "no_air", "refuse", "scan", "24", "-500", "are these HU?")],
    columns=["scan_id", "code", "severity", "subject", "measured", "limit", "remedy"],
)
TABLE = pd.DataFrame({"figure": ["Scans"], "value": ["3"]})
LESIONS = pd.DataFrame(
    {
        "model": "student",
        "cohort": "internal",
        "subset": ["all", "all", "< 10 mm", "< 10 mm"],
        "metric": ["n_lesions", "sensitivity"] * 2,
        "value": [4.0, 0.75, 0.0, float("nan")],
    }
)
ORGANS = pd.DataFrame(
    {
        "structure": ["liver", "liver", "crlm"],
        "cohort": "internal",
        "model": "student",
        "dice": [0.9, 0.8, float("nan")],
    }
)


@pytest.fixture
def cohorts():
    made = {}
    for cohort in ("internal", "external"):
        made |= {
            f"{cohort}_scan_table": SCANS,
            f"{cohort}_accepted_scans": SCANS[SCANS["scan_id"] != "b"],
            f"{cohort}_screening": FINDINGS,
            f"{cohort}_table_1": TABLE,
        }
    return made


def lesions_with(figures):
    missing = [f for f in figures if f not in set(LESIONS["metric"])]
    more = [LESIONS.assign(metric=name, value=0.5).drop_duplicates() for name in missing]
    return pd.concat([LESIONS, *more], ignore_index=True).drop_duplicates(
        ["model", "cohort", "subset", "metric"]
    )


FIGURES = ("n_lesions", "sensitivity", "precision", "f1", "false_positives_per_scan")


def test_refused_scans_are_listed_with_reason_and_remedy(cohorts):
    page = write_report(TABLE, lesions_with(FIGURES), ORGANS, **cohorts)
    assert "1 scans were refused" in page
    for word in ("no_air", "-500", "are these HU?"):
        assert page.count(f"<td>{word}</td>") == 2
    assert '<data value="3">3</data>' in page


def test_a_cohort_without_findings_says_so(cohorts):
    clean = {f"{c}_screening": FINDINGS.iloc[:0] for c in ("internal", "external")}
    page = write_report(TABLE, lesions_with(FIGURES), ORGANS, **(cohorts | clean))
    assert page.count("No scan was refused or warned of.") == 2


def test_figures_are_those_of_the_frames(cohorts):
    page = write_report(TABLE, lesions_with(FIGURES), ORGANS, **cohorts)
    assert '<data value="0.75">0.75</data>' in page
    assert '<data value="0.8500000000000001">0.85</data>' in page
    assert "nan" not in page.lower()
