import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from coala_kedro.statistics.subgroups import class_names, class_table, classify, weighted_kappa

CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(CLASSES)
def test_kappa_is_scikit_learns(pairs):
    reference, predicted = np.transpose(pairs)
    ours = weighted_kappa(reference, predicted, 4)
    if len({*reference, *predicted}) == 1:
        assert np.isnan(ours)
    else:
        expected = cohen_kappa_score(reference, predicted, labels=range(4), weights="linear")
        assert ours == pytest.approx(expected)


def test_kappa_of_no_scan_is_nan():
    assert np.isnan(weighted_kappa([], [], 3))


def test_a_bound_belongs_to_the_class_above_it():
    assert classify([0, 0.99, 1, 10, 99, 100], (1, 10, 100)).tolist() == [0, 0, 1, 2, 2, 3]
    assert class_names((1, 10, 100), "mL") == ["< 1 mL", "1-10 mL", "10-100 mL", ">= 100 mL"]


def test_the_table_counts_every_scan_once():
    scans = pd.DataFrame(
        {
            "model": "student",
            "cohort": ["internal"] * 3 + ["external"],
            "reference_ml": [0.5, 5, 5, 0],
            "predicted_ml": [2, 4, 20, 0],
        }
    )
    table = class_table(scans, (1, 10)).set_index(["cohort", "reference_class", "predicted_class"])
    counts = table["n_scans"]
    assert counts[counts > 0].to_dict() == {
        ("internal", "< 1 mL", "1-10 mL"): 1,
        ("internal", "1-10 mL", "1-10 mL"): 1,
        ("internal", "1-10 mL", ">= 10 mL"): 1,
        ("external", "< 1 mL", "< 1 mL"): 1,
    }
    assert len(counts) == 2 * 9
