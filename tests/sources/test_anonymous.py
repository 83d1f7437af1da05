import pytest

from coala_kedro.sources.anonymous import anonymous_pattern, is_anonymous


@pytest.mark.parametrize(
    ("pattern", "anonymous"),
    [
        ("{scan_id}/*/CT_*", "{scan_id}/*/CT_*"),
        ("scans/{scan_id}.nii.gz", "scans/{scan_id}.nii.gz"),
        ("{patient}/{study}_abdomen/SEG_{reader}/1.dcm",) * 2,
        ("Mueller_Hans/{scan_id}/CT", "*_*/{scan_id}/CT"),
        ("Müller-{scan_id}_ct.nii.gz", "*-{scan_id}_ct.nii.gz"),
        ("{scan_id}_Mueller/CT", "{scan_id}/CT"),
        ("Mueller, {patient} Hans/{scan_id}_Mueller.nii.gz", "{patient}/{scan_id}.nii.gz"),
        ("{reader}_Mueller/{scan_id}.mha", "{reader}_*/{scan_id}.mha"),
        ("{patient}/Mueller^Hans_*.nrrd", "{patient}/*^*_*.nrrd"),
        ("{scan_id}/4711/20200201/CT_1", "{scan_id}/*/*/CT_1"),
        ("{scan_id}/Mueller Hans/ct.nii", "{scan_id}/*/ct.nii"),
    ],
)
def test_a_pattern_keeps_what_is_nobody_s_name(pattern, anonymous):
    assert anonymous_pattern(pattern) == anonymous


@pytest.mark.parametrize(
    ("name", "nobody"), [("reader_1", True), ("SEG_2", True), ("ann", False), ("4711", False)]
)
def test_known_words_are_nobody_s_name(name, nobody):
    assert is_anonymous(name) is nobody
