import pytest

from coala_kedro.sources import SourceError, read_pseudonyms


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("found,scan_id\na,P1\nb,P1\n", "line 3: every scan needs one scan id"),
        ("found,scan_id\na,P1\na,P2\n", "line 3"),
        ("found,scan_id\n001,\n", "line 2"),
        ("path,scan_id\na,P1\n", "lack the column found"),
        ("", "cannot be read"),
    ],
)
def test_pseudonyms_that_cannot_be(tmp_path, text, told):
    (tmp_path / "pseudonyms.csv").write_text(text)
    with pytest.raises(SourceError, match=told):
        read_pseudonyms(tmp_path / "pseudonyms.csv")
    with pytest.raises(SourceError, match="cannot be read"):
        read_pseudonyms(tmp_path / "nowhere.csv")


def test_pseudonyms_are_text(tmp_path):
    (tmp_path / "pseudonyms.csv").write_text("found,scan_id\n001,P1\nNA,P2\n")
    assert read_pseudonyms(tmp_path / "pseudonyms.csv") == {"001": "P1", "NA": "P2"}
