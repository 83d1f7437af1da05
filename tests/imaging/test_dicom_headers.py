"""Headers that are damaged, senseless or somebody's."""

import contextlib
import logging
import struct
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pytest
from dicom_writer import save, slices_of, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.tag import Tag
from pydicom.uid import RLELossless
from test_dicom import EVERY, SOUND, assert_same, scan_of, with_elements

from coala_kedro.imaging.dicom import inspect_series, read_series
from coala_kedro.imaging.dicom_headers import HEADER_TAGS
from coala_kedro.imaging.files import VolumeError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "series"


@pytest.mark.parametrize("left", [0, 60, 700, -100, -1])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_off_anywhere_is_never_read_as_zeros(folder, left, compressed):
    made = slices_of(scan_of())
    if compressed:
        for slice_ in made:
            slice_.compress(RLELossless, generate_instance_uid=False)
    save(made, folder)
    path = folder / "0007.dcm"
    path.write_bytes(path.read_bytes()[:left])
    assert inspect_series(folder)["n_unreadable_files"] == 1
    with pytest.raises(VolumeError, match="1 files are no DICOM, or are damaged"):
        read_series(folder)


SENSELESS = {
    "position of two": {"ImagePositionPatient": [1, 2]},
    "directions of length 0": {"ImageOrientationPatient": [0] * 6},
    "oblique axes": {"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]},
    "directions of three": {"ImageOrientationPatient": [1, 0, 0]},
    "one spacing": {"PixelSpacing": [1]},
    "spacing of 0": {"PixelSpacing": [0, 0]},
}


@pytest.mark.parametrize("name", SENSELESS)
@pytest.mark.parametrize("numbers", [[0], [2], EVERY])
def test_a_header_without_sense_is_a_damaged_file(folder, name, numbers):
    save(with_elements(numbers, **SENSELESS[name])(slices_of(scan_of())), folder)
    assert inspect_series(folder)["n_unreadable_files"] == len(numbers)
    with pytest.raises(VolumeError, match=f"^{len(numbers)} files are no DICOM, or are damaged"):
        read_series(folder)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_without_a_place_nothing_is_read(folder, keyword):
    save(with_elements(EVERY, **{keyword: None})(slices_of(scan_of())), folder)
    assert "n_slices" not in inspect_series(folder)
    with pytest.raises(VolumeError, match="do not say where their slices lie"):
        read_series(folder)


@pytest.mark.parametrize("keyword", ["NumberOfFrames", "SliceThickness", "ImageType"])
def test_values_that_are_empty_are_as_if_not_there(folder, keyword):
    write_series(scan_of(), folder, **{keyword: ""})
    told = inspect_series(folder)
    thickness = {} if keyword == "SliceThickness" else {"slice_thickness_mm": 2.5}
    assert told == {k: v for k, v in SOUND.items() if k != "slice_thickness_mm"} | thickness
    assert_same(read_series(folder), scan_of())


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "RescaleSlope", "PixelSpacing"])
def test_what_stands_in_a_number_s_place_is_told_nowhere(folder, keyword, caplog, recwarn):
    write_series(scan_of(), folder)
    path = folder / "0002.dcm"
    tag = Tag(keyword)
    head = struct.pack("<HH2s", tag.group, tag.element, b"DS")
    content = path.read_bytes()
    start = content.index(head) + 8
    (length,) = struct.unpack("<H", content[start - 2 : start])
    name = b"Doe^Jane"[:length].ljust(length)
    path.write_bytes(content[:start] + name + content[start + length :])
    facts = inspect_series(folder)
    assert facts["n_unreadable_files"] == 1
    with pytest.raises(VolumeError) as raised:
        read_series(folder)
    shown = f"{facts} {''.join(traceback.format_exception(raised.value))} {caplog.text}"
    assert "Doe"[:length] not in shown
    assert not list(recwarn)


@given(
    places=st.lists(st.tuples(st.integers(0, 1199), st.integers(0, 255)), min_size=1, max_size=20)
)
@settings(max_examples=25)
def test_whatever_bytes_are_wrong_it_is_told_as_facts(places):
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        write_series(scan_of(n_slices=2), folder)
        path = folder / "0001.dcm"
        content = bytearray(path.read_bytes())
        for place, byte in places:
            content[place] = byte
        path.write_bytes(content)
        facts = inspect_series(folder)
        assert facts["n_files"] == 2
        with contextlib.suppress(VolumeError):
            assert np.isfinite(read_series(folder).GetSpacing()).all()


def test_nothing_of_a_header_but_what_is_listed_is_ever_read(folder, caplog):
    write_series(scan_of(), folder, PatientName="Doe^Jane", InstitutionName="St. Elsewhere")
    with caplog.at_level(logging.DEBUG):
        told = f"{inspect_series(folder)} {read_series(folder)} {caplog.text}"
    assert "Doe" not in told
    assert "Elsewhere" not in told
    assert not [tag for tag in HEADER_TAGS if tag.startswith(("Patient", "Study", "Institution"))]
