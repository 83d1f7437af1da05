import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from coala_kedro.imaging.consensus import majority_vote, staple
from coala_kedro.imaging.readers import rate_consensus, rate_lesions, rate_readers


def to_image(values):
    image = sitk.GetImageFromArray(np.array([[values]], dtype=np.uint8))
    image.SetSpacing([10.0, 10.0, 10.0])  # 1 mL a voxel
    return image


@pytest.fixture
def masks():
    """Three lesions: all readers see the first, two the second, one the third."""
    return {
        "b": to_image([1, 1, 0, 0, 1, 0, 0, 0]),
        "a": to_image([1, 1, 1, 0, 1, 0, 0, 0]),
        "c": to_image([0, 1, 1, 0, 0, 0, 1, 0]),
    }


def test_readers_are_rated_against_the_consensus_then_in_pairs(masks):
    frame = rate_readers(masks, majority_vote(masks))  # 1 1 1 0 1 0 0 0
    expected = pd.DataFrame(
        [
            ("a", "consensus", 1.0, 1.0, 1.0),
            ("b", "consensus", 6 / 7, 3 / 4, 1.0),
            ("c", "consensus", 4 / 7, 2 / 4, 3 / 4),
            ("a", "b", 6 / 7, np.nan, np.nan),
            ("a", "c", 4 / 7, np.nan, np.nan),
            ("b", "c", 2 / 6, np.nan, np.nan),
        ],
        columns=["reader", "against", "dice", "sensitivity", "specificity"],
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_dice_is_simpleitks(masks):
    consensus = staple(masks)
    against = {**masks, "consensus": consensus.mask}
    for row in rate_readers(masks, consensus).itertuples():
        oracle = sitk.LabelOverlapMeasuresImageFilter()
        oracle.Execute(against[row.reader], against[row.against])
        assert row.dice == pytest.approx(oracle.GetDiceCoefficient())


def test_staples_own_rates_are_reported(masks):
    consensus = staple(masks)
    frame = rate_readers(masks, consensus).query("against == 'consensus'").set_index("reader")
    assert frame["sensitivity"].to_dict() == consensus.sensitivity
    assert frame["specificity"].to_dict() == consensus.specificity


def test_a_lesion_counts_the_readers_who_touch_it(masks):
    frame = rate_lesions(masks, majority_vote(masks)).sort_values("volume_ml", ascending=False)
    assert list(frame.columns) == ["lesion", "volume_ml", "n_readers", "in_consensus"]
    assert frame["volume_ml"].iloc[0] == pytest.approx(3.0)
    assert frame["n_readers"].tolist() == [3, *frame["n_readers"].iloc[1:]]
    assert frame["n_readers"].value_counts().to_dict() == {3: 1, 2: 1, 1: 1}
    assert frame.set_index("n_readers")["in_consensus"].to_dict() == {3: True, 2: True, 1: False}
    assert sorted(frame["lesion"]) == [1, 2, 3]


def test_a_reader_whose_name_sorts_after_consensus_is_counted_too(masks):
    renamed = {"zoe": masks["c"], "amy": masks["a"], "ben": masks["b"]}
    pd.testing.assert_frame_equal(
        rate_lesions(renamed, majority_vote(renamed)), rate_lesions(masks, majority_vote(masks))
    )


def test_a_lesion_of_the_consensus_alone_is_no_readers_lesion(masks):
    consensus = majority_vote({"elsewhere": to_image([0, 0, 0, 0, 0, 0, 0, 1])})
    frame = rate_lesions(masks, consensus)
    assert frame["volume_ml"].sum() == pytest.approx(5.0)
    assert not frame["in_consensus"].any()


def test_a_consensus_unlike_the_majority_shows(masks):
    lone_reader = staple({"c": masks["c"]})
    row = rate_consensus(masks, lone_reader).iloc[0]
    assert row["method"] == "staple"
    assert row["n_readers"] == 3
    assert row["consensus_ml"] == pytest.approx(3.0)
    assert row["majority_ml"] == pytest.approx(4.0)
    assert row["majority_dice"] == pytest.approx(4 / 7)


def test_iterations_are_the_consensus(masks):
    consensus = staple(masks)
    assert consensus.iterations > 0
    assert rate_consensus(masks, consensus)["iterations"].item() == consensus.iterations


def test_where_nobody_sees_a_lesion_no_dice_and_no_lesion_is_counted():
    masks = {"a": to_image([0, 0]), "b": to_image([0, 0])}
    consensus = staple(masks)
    assert rate_readers(masks, consensus)["dice"].isna().all()
    assert rate_consensus(masks, consensus)["majority_dice"].isna().all()
    lesions = rate_lesions(masks, consensus)
    assert len(lesions) == 0
    assert list(lesions.columns) == ["lesion", "volume_ml", "n_readers", "in_consensus"]


def test_a_reader_who_sees_nothing_scores_zero():
    masks = {"a": to_image([1, 0]), "b": to_image([1, 0]), "c": to_image([0, 0])}
    frame = rate_readers(masks, majority_vote(masks)).set_index(["reader", "against"])
    assert frame.loc[("c", "consensus"), "dice"] == 0


def test_a_reader_called_consensus_is_refused(masks):
    masks["consensus"] = masks.pop("a")
    with pytest.raises(ValueError, match="A reader is called 'consensus'"):
        rate_readers(masks, majority_vote(masks))
