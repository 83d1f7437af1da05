"""What is found in folders of DICOM files, as scanners, archives and CDs leave them."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import save, set_elements, slices_of, write_rtstruct, write_seg
from pydicom.uid import ComprehensiveSRStorage

from coala_kedro.sources.survey import survey

BOX = [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (3.0, 3.0, 1.0)]


def series(name="series", **elements):
    return slices_of(sitk.GetImageFromArray(np.zeros((4, 6, 5), np.int16)), series=name, **elements)


@pytest.mark.parametrize("start", [132, 0])
def test_a_series_without_preamble_is_found(tmp_path, start):
    save(series(), tmp_path / "a" / "ct")
    for path in (tmp_path / "a" / "ct").iterdir():
        path.write_bytes(path.read_bytes()[start:])
    assert survey(tmp_path).series == ["a/ct"]


def test_a_series_beside_what_a_cd_brings(tmp_path):
    made = series()
    report = series("report")[0]
    set_elements(report, {"Modality": "SR", "SOPClassUID": ComprehensiveSRStorage})
    localizer = series("scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    names = ["000_report", "001", *[f"IM{n}" for n in range(4)]]
    save([report, localizer, *made], tmp_path / "a", names)
    for name in ("dicomdir", "autorun.inf", "Thumbs.db", "VERSION"):
        (tmp_path / "a" / name).write_bytes(b"no DICOM")
    found = survey(tmp_path)
    assert found.series == ["a"]
    assert found.others == {"SR": 1, "localizers": 1}


def test_outlines_that_lie_beside_their_slices(tmp_path):
    """As planning systems export them: CT..., RS..., RP... in one folder."""
    made = series()
    save(made, tmp_path / "a", [f"CT.{n}.dcm" for n in range(4)])
    write_rtstruct({"GTV liver": [BOX], "Body": [BOX]}, made, tmp_path / "a" / "RS.1.dcm")
    write_seg({"Tumor": np.ones((4, 6, 5))}, made, tmp_path / "a" / "SEG_1.dcm")
    found = survey(tmp_path)
    assert (found.series, found.structures) == (["a"], ["a/RS.1.dcm"])
    assert found.segmentations == ["a/SEG_1.dcm"]
    assert found.labels == {"GTV liver": 1, "Body": 1, "Tumor": 1}
