"""What lies in a folder beside slices, and slices as archives and scanners store them."""

import struct

import gdcm
import numpy as np
import pytest
from dicom_writer import save, set_elements, slices_of, uid, write_seg, write_series
from pydicom.uid import (
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RTPlanStorage,
    XRayRadiationDoseSRStorage,
)
from test_dicom import SOUND, assert_same, scan_of

from coala_kedro.imaging.dicom import inspect_series, read_series
from coala_kedro.imaging.files import VolumeError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "series"


STRAYS = {
    "Thumbs.db": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600),
    "dicomdir": b"no image",
    "LICENSE.txt": b"no image",
    "VERSION": b"1.0\n",
    "viewer.exe": b"MZ" + bytes(300),
    "report.PDF": b"%PDF-1.4",
    "empty.log": b"",
    "zeros.dat": bytes(5000),
    "Doe Jane": b"born 1.1.1950",
    "Doe.Jane": b"born 1.1.1950",
}
STRAYS_TOLD = (
    "1 .dat, 1 .exe, 1 .log, 1 .pdf, 1 .txt, 1 Thumbs.db, 1 VERSION, 1 dicomdir, 2 other files"
)


def test_what_is_no_dicom_is_left_out_and_told_without_a_name(folder):
    write_series(scan_of(), folder)
    for name, content in (STRAYS | {".DS_Store": b"no image"}).items():
        (folder / name).write_bytes(content)
    (folder / "below").mkdir()
    assert inspect_series(folder) == SOUND | {"other_files": STRAYS_TOLD}
    assert_same(read_series(folder), scan_of())


def as_object(modality, sop_class, **elements):
    """Another DICOM object than an image, made of a slice."""
    slice_ = slices_of(scan_of(n_slices=1))[0]
    set_elements(
        slice_,
        {"Modality": modality, "SOPClassUID": sop_class, "SOPInstanceUID": uid(modality)}
        | {"SeriesInstanceUID": uid(modality, "series"), "PixelData": None} | elements,
    )  # fmt: skip
    slice_.file_meta.MediaStorageSOPClassUID = sop_class
    return slice_


def test_other_dicom_objects_are_no_slices(folder):
    made = slices_of(scan_of())
    save(
        [
            *made,
            as_object("SR", XRayRadiationDoseSRStorage),
            as_object("PR", GrayscaleSoftcopyPresentationStateStorage),
            as_object("KO", KeyObjectSelectionDocumentStorage),
            as_object("RTPLAN", RTPlanStorage),
            as_object("DOE^JANE", RTPlanStorage),
            as_object("OT", "1.2.3.4"),
        ],
        folder,
    )
    write_seg({"Tumor": np.ones((8, 30, 36))}, made, folder / "seg.dcm")
    told = "1 KO, 1 OT, 1 PR, 1 RTPLAN, 1 SEG, 1 SR, 1 other DICOM objects"
    assert inspect_series(folder) == SOUND | {"other_files": told}
    assert_same(read_series(folder), scan_of())


def test_slices_in_a_folder_below_are_not_read_and_that_is_told(folder):
    made = slices_of(scan_of())
    save(made, folder)
    save(made[:2], folder / "Doe^Jane")
    assert inspect_series(folder) == SOUND | {"other_files": "1 folders"}


@pytest.mark.parametrize("name", ["IM0099", "0099.dcm", "IM0099.IMA"])
@pytest.mark.parametrize("content", [b"", bytes(4000), b"not DICOM"])
def test_what_is_named_like_a_slice_and_is_none_is_damaged(folder, name, content):
    """What an interrupted copy leaves at the end of a series leaves no gap either."""
    save(slices_of(scan_of()), folder, [f"IM{n:04d}" for n in range(8)])
    (folder / name).write_bytes(content)
    assert inspect_series(folder)["n_unreadable_files"] == 1
    with pytest.raises(VolumeError, match="1 files are no DICOM, or are damaged"):
        read_series(folder)


def without_preamble(content):
    assert content[128:132] == b"DICM"
    return content[132:]


def bare(content):
    (length,) = struct.unpack("<I", content[140:144])
    return content[144 + length :]


@pytest.mark.parametrize("strip", [without_preamble, bare])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("numbers", [range(8), [0, 5]])
def test_slices_without_preamble_or_meta_information(folder, strip, syntax, numbers):
    made = slices_of(scan_of())
    for slice_ in made:
        slice_.file_meta.TransferSyntaxUID = syntax
    save(made, folder)
    for number in numbers:
        path = folder / f"{number:04d}.dcm"
        path.write_bytes(strip(path.read_bytes()))
    assert inspect_series(folder) == SOUND
    assert_same(read_series(folder), scan_of())


@pytest.mark.parametrize("strip", [without_preamble, bare])
@pytest.mark.parametrize("left", [-1, -900, 700, 140])
def test_a_slice_without_preamble_that_is_cut_off_is_damaged(folder, strip, left):
    write_series(scan_of(), folder)
    path = folder / "0003.dcm"
    path.write_bytes(strip(path.read_bytes())[:left])
    assert inspect_series(folder)["n_unreadable_files"] == 1


TRANSCODED = {
    "JPEG": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "big endian": gdcm.TransferSyntax.ExplicitVRBigEndian,
}


@pytest.mark.parametrize("name", TRANSCODED)
def test_syntaxes_that_archives_compress_to(folder, name):
    write_series(scan_of(), folder)
    for path in folder.iterdir():
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(TRANSCODED[name]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(path))
        assert writer.Write()
    assert inspect_series(folder) == SOUND
    assert_same(read_series(folder), scan_of())
