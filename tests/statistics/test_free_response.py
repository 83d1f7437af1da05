import pandas as pd

from coala_kedro.statistics.free_response import froc_points


def test_froc_counts_hits_and_inventions_down_to_each_score():
    candidates = pd.DataFrame({"confidence": [5, 3, 3, 1], "hit": [True, True, False, False]})
    points = froc_points(candidates, n_lesions=4, n_scans=2)
    assert points["threshold"].tolist() == [5, 3, 1]
    assert points["sensitivity"].tolist() == [0.25, 0.5, 0.5]
    assert points["false_positives_per_scan"].tolist() == [0, 0.5, 1]
