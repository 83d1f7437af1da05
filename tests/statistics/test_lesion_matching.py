import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_pairs import mask_pair
from scipy import ndimage

from coala_kedro.statistics.lesion_matching import (
    COLUMN_TYPES,
    match_lesions,
    score_lesions,
    size_class,
)

ISOTROPIC = (1.0, 1.0, 1.0)


def line(*spans, length=40):
    """A row of voxels with lesions at the given spans."""
    mask = np.zeros((1, 1, length), dtype=bool)
    for start, stop in spans:
        mask[..., start:stop] = True
    return mask


def test_a_found_a_missed_and_an_invented_lesion():
    lesions = score_lesions(line((0, 4), (10, 12)), line((1, 7), (30, 31)), (5.0, 2.0, 1.0))
    assert lesions["lesion"].tolist() == [1, 2, 3]
    assert lesions["status"].tolist() == ["hit", "miss", "false_positive"]
    assert lesions["volume_ml"].tolist() == pytest.approx([0.04, 0.02, 0.01])
    assert lesions["dice"].tolist() == pytest.approx([2 * 3 / 10, np.nan, np.nan], nan_ok=True)
    assert lesions["predicted_ml"].tolist() == pytest.approx([0.06, np.nan, np.nan], nan_ok=True)
    assert lesions["volume_error_ml"][0] == pytest.approx(0.02)
    # Corner to corner: 4 voxels of 1 mm in a row of 2 mm.
    assert lesions["diameter_mm"].tolist() == pytest.approx(np.hypot(2, [4, 2, 1]))
    assert lesions["near_liver_border"].isna().all()
    assert lesions["contrast_hu"].isna().all()


@pytest.mark.parametrize(("stop", "status"), [(10, "hit"), (11, "miss")])
def test_an_overlap_of_a_tenth_is_a_match(stop, status):
    lesions = score_lesions(line((0, 1)), line((0, stop)), ISOTROPIC)
    assert lesions["status"][0] == status


def test_the_best_overlap_is_matched_first_and_each_lesion_once():
    # The model joins two lesions; of the two the larger is found.
    joined = score_lesions(line((0, 6), (7, 9)), line((0, 9)), ISOTROPIC)
    assert joined["status"].tolist() == ["hit", "miss"]
    # It splits one; the larger half finds it, the other is invented.
    split = score_lesions(line((0, 9)), line((0, 2), (3, 9)), ISOTROPIC)
    assert split["status"].tolist() == ["hit", "false_positive"]
    assert split["predicted_ml"][0] == pytest.approx(0.006)
    assert split["volume_ml"][1] == pytest.approx(0.002)


def test_parts_that_touch_at_a_corner_are_one_lesion():
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert len(score_lesions(mask, ~np.ones_like(mask), ISOTROPIC)) == 1


@pytest.mark.parametrize("reference", [line(), line((1, 3))])
@pytest.mark.parametrize("predicted", [line(), line((1, 3))])
def test_columns_are_typed_whether_or_not_there_are_lesions(reference, predicted):
    lesions = score_lesions(reference, predicted, ISOTROPIC)
    typed = pd.DataFrame(columns=list(COLUMN_TYPES)).astype(COLUMN_TYPES)
    pd.testing.assert_series_equal(lesions.dtypes, typed.dtypes)
    assert len(lesions) == (reference.any() or predicted.any())


@pytest.mark.parametrize(
    ("diameter_mm", "expected"),
    [(9.99, "< 10 mm"), (10.0, "10-20 mm"), (20.0, "10-20 mm"), (20.01, "> 20 mm")],
)
def test_ten_and_twenty_millimetres_are_in_the_middle_class(diameter_mm, expected):
    assert size_class(diameter_mm) == expected


def test_a_scan_on_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"scan has shape \(1, 1, 4\)"):
        score_lesions(line(), line(), ISOTROPIC, scan_hu=np.zeros((1, 1, 4)))
    with pytest.raises(ValueError, match=r"liver \(1, 1, 4\)"):
        score_lesions(line(), line(), ISOTROPIC, liver=np.zeros((1, 1, 4), dtype=bool))


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_rows_account_for_every_lesion_and_every_voxel(seed):
    reference, predicted, spacing = mask_pair(seed)
    lesions = score_lesions(reference, predicted, spacing)
    structure = np.ones((3, 3, 3))
    n_reference, n_predicted = (ndimage.label(m, structure)[1] for m in (reference, predicted))
    count = lesions["status"].value_counts().reindex(["hit", "miss", "false_positive"]).fillna(0)
    assert count["hit"] + count["miss"] == n_reference
    assert count["hit"] + count["false_positive"] == n_predicted
    own = lesions["status"] != "false_positive"
    ml_per_voxel = np.prod(spacing) / 1000
    assert lesions["volume_ml"][own].sum() == pytest.approx(reference.sum() * ml_per_voxel)
    found_ml = lesions["predicted_ml"].sum() + lesions["volume_ml"][~own].sum()
    assert found_ml == pytest.approx(predicted.sum() * ml_per_voxel)
    assert (lesions["dice"].notna() == (lesions["status"] == "hit")).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_no_pair_left_over_overlaps_enough(seed):
    reference, predicted, _ = mask_pair(seed)
    labels = [ndimage.label(m, np.ones((3, 3, 3)))[0] for m in (reference, predicted)]
    matches = match_lesions(*labels)
    taken = [{m.reference for m in matches}, {m.predicted for m in matches}]
    assert len(taken[0]) == len(taken[1]) == len(matches)
    for ref in set(range(1, labels[0].max() + 1)) - taken[0]:
        for pred in set(range(1, labels[1].max() + 1)) - taken[1]:
            one, other = labels[0] == ref, labels[1] == pred
            assert (one & other).sum() < 0.1 * (one | other).sum()
