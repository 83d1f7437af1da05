import pandas as pd

from coala_kedro.datasets import OptionalTableDataset


def test_an_absent_table_is_empty_with_its_columns(tmp_path):
    dataset = OptionalTableDataset(filepath=str(tmp_path / "a.csv"), columns=["fold", "dice"])
    assert not dataset.exists()
    pd.testing.assert_frame_equal(dataset.load(), pd.DataFrame(columns=["fold", "dice"]))


def test_a_table_that_is_there_is_read(tmp_path):
    table = pd.DataFrame({"fold": [0], "dice": [0.5]})
    dataset = OptionalTableDataset(
        filepath=str(tmp_path / "a.csv"), columns=["fold"], save_args={"index": False}
    )
    dataset.save(table)
    pd.testing.assert_frame_equal(dataset.load(), table)
