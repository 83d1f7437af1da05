import numpy as np
import pandas as pd
import pytest

from coala_kedro.statistics.lesion_matching import score_lesions
from coala_kedro.statistics.lesion_summary import COLUMNS, summarise_lesions

SIZES = {5.0: "< 10 mm", 15.0: "10-20 mm", 25.0: "> 20 mm"}


def lesion(
    scan_id, status, diameter_mm=15.0, near=None, contrast_hu=np.nan, dice=0.5, error_ml=1.0
):
    hit = status == "hit"
    return {
        "model": "student",
        "cohort": "internal",
        "scan_id": scan_id,
        "status": status,
        "diameter_mm": diameter_mm,
        "size_class": SIZES[diameter_mm],
        "near_liver_border": near,
        "contrast_hu": contrast_hu,
        "dice": dice if hit else np.nan,
        "volume_error_ml": error_ml if hit else np.nan,
    }


def frames(*lesions, patients=("a", "a", "b", "c")):
    scans = [
        {"model": "student", "cohort": "internal", "scan_id": f"{n}", "patient_id": patient}
        for n, patient in enumerate(patients)
    ]
    columns = ["model", "cohort", "scan_id", "patient_id"]
    return (
        pd.DataFrame(lesions, columns=list(lesion("0", "hit"))),
        pd.DataFrame(scans, columns=columns),
    )


def summarise(*lesions, **options):
    rows = summarise_lesions(*frames(*lesions, **options), n_resamples=200, seed=0)
    assert list(rows.columns) == list(COLUMNS)
    return rows.set_index(["subset", "metric"])


def test_lesions_of_all_scans_are_counted_together():
    rows = summarise(
        lesion("0", "hit", dice=0.8, error_ml=2.0),
        lesion("0", "hit", dice=0.6, error_ml=-1.0),
        lesion("1", "miss"),
        lesion("2", "hit", dice=0.1, error_ml=0.5),
        lesion("2", "false_positive"),
        lesion("3", "false_positive"),
    )
    assert rows["value"]["all"].to_dict() == pytest.approx(
        {
            "n_lesions": 4,
            "sensitivity": 3 / 4,
            "precision": 3 / 5,
            "f1": 6 / 9,
            "false_positives_per_scan": 2 / 4,
            "dice_mean": 0.5,
            "volume_error_ml_mean": 0.5,
        }
    )
    assert (rows["n_scans"] == 4).all()
    assert (rows["n_patients"] == 3).all()


def test_scans_without_lesions_count_among_the_scans():
    rows = summarise(lesion("0", "false_positive"), patients=("a", "b", "c", "d", "e"))
    assert rows.loc[("all", "false_positives_per_scan"), "value"] == pytest.approx(0.2)


def test_lesions_belong_to_subsets_by_their_own_size_place_and_contrast():
    rows = summarise(
        lesion("0", "hit", 5.0, near=True, contrast_hu=-10),
        lesion("1", "miss", 5.0, near=False, contrast_hu=-40),
        lesion("2", "false_positive", 25.0, near=True, contrast_hu=20),
        lesion("3", "hit", 15.0),
    )["value"].unstack()
    assert rows["n_lesions"].to_dict() == {
        "all": 3,
        "< 10 mm": 2,
        "10-20 mm": 1,
        "> 20 mm": 0,
        "near liver border": 1,
        "away from liver border": 1,
        "low contrast": 1,
        "high contrast": 1,
    }
    assert rows["precision"].to_dict() == pytest.approx(
        {
            "all": 2 / 3,
            "< 10 mm": 1,
            "10-20 mm": 1,
            "> 20 mm": 0,
            "near liver border": 1 / 2,
            "away from liver border": np.nan,
            "low contrast": 1,
            "high contrast": 0,
        },
        nan_ok=True,
    )


def test_subsets_of_which_nothing_is_known_are_left_out():
    subsets = summarise(lesion("0", "hit")).index.get_level_values("subset").unique()
    assert subsets.tolist() == ["all", *SIZES.values()]


def test_intervals_come_from_drawing_patients():
    # Each patient's lesions are all found or all missed: the rate is one of few values.
    lesions = [lesion(str(n), "hit" if n % 2 else "miss") for n in range(20)]
    few = summarise(*lesions, patients=[f"patient {n % 2}" for n in range(20)])
    many = summarise(*lesions, patients=[f"patient {n}" for n in range(20)])
    wide, narrow = (rows.loc[("all", "sensitivity")] for rows in (few, many))
    assert (wide["ci_low"], wide["ci_high"]) == (0, 1)
    assert 0.1 < narrow["ci_low"] < 0.5 < narrow["ci_high"] < 0.9


@pytest.mark.parametrize(
    ("status", "undefined"),
    [
        ([], {"sensitivity", "precision", "f1", "dice_mean", "volume_error_ml_mean"}),
        (["miss"], {"precision", "dice_mean", "volume_error_ml_mean"}),
        (["false_positive"], {"sensitivity", "dice_mean", "volume_error_ml_mean"}),
        (["hit"], set()),
    ],
)
def test_every_figure_that_is_not_defined_says_why(status, undefined):
    rows = summarise(*(lesion("0", s) for s in status))
    figures = rows.loc["all"]
    assert set(figures.index[figures["value"].isna()]) == undefined
    assert (rows["note"][rows["ci_low"].isna()] != "").all()
    assert rows["note"].notna().all()


def test_one_patient_has_no_interval():
    rows = summarise(lesion("0", "hit"), patients=("a", "a"))
    assert rows["ci_low"].isna().all()
    assert rows.loc[("all", "sensitivity"), "note"] == "one patient: no interval"


def test_models_and_cohorts_keep_apart():
    lesions, scans = frames(lesion("0", "hit"))
    other = {"model": "teacher", "cohort": "external"}
    lesions = pd.concat([lesions, frames(lesion("0", "miss"))[0].assign(**other)])
    scans = pd.concat([scans, scans.assign(**other)])
    rows = summarise_lesions(lesions, scans, 200, 0).set_index(["model", "cohort", "subset"])
    rows = rows[rows["metric"] == "sensitivity"]["value"]
    assert rows["student", "internal", "all"] == 1
    assert rows["teacher", "external", "all"] == 0


def test_a_lesion_of_an_unknown_scan_is_refused():
    lesions, scans = frames(lesion("9", "hit"))
    with pytest.raises(ValueError, match=r"1 scans .*'9'"):
        summarise_lesions(lesions, scans, 200, 0)


def test_no_scan_at_all_gives_an_empty_frame():
    lesions, scans = frames(patients=())
    rows = summarise_lesions(lesions, scans, 200, 0)
    assert list(rows.columns) == list(COLUMNS)
    assert rows.empty


def test_what_score_lesions_makes_can_be_summarised_from_a_file_too(tmp_path):
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[1:3, 1:3, 1:3] = True
    found = [
        score_lesions(mask, mask, (1.0, 1.0, 1.0), liver=~mask, scan_hu=mask * 50.0),
        score_lesions(mask & False, mask & False, (1.0, 1.0, 1.0)),
        score_lesions(mask, mask & False, (1.0, 1.0, 1.0)),
    ]
    lesions = pd.concat(
        [rows.assign(model="m", cohort="c", scan_id=f"s{n}") for n, rows in enumerate(found)]
    )
    scans = pd.DataFrame(
        {"model": "m", "cohort": "c", "scan_id": ["s0", "s1", "s2"], "patient_id": list("abc")}
    )
    lesions.to_csv(tmp_path / "lesions.csv", index=False)
    rows = summarise_lesions(lesions, scans, 100, 0)
    read = summarise_lesions(pd.read_csv(tmp_path / "lesions.csv"), scans, 100, 0)
    pd.testing.assert_frame_equal(rows, read)
    figures = rows.set_index(["subset", "metric"])["value"]
    assert figures["all", "sensitivity"] == 0.5
    assert figures["away from liver border", "n_lesions"] == 1
    assert len(rows) == 8 * 7
