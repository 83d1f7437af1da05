"""NRRD and MetaImage headers that leave out what a volume depends on, or contradict it."""

import numpy as np
import pytest
import SimpleITK as sitk

from coala_kedro.imaging.files import VolumeError, read_whole_volume
from coala_kedro.imaging.text_headers import named_in_header

VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(6, 5, 4)
NRRD = {
    "type": "short", "dimension": "3", "sizes": "4 5 6", "endian": "little", "encoding": "raw",
    "space": "left-posterior-superior", "space directions": "(2,0,0) (0,2,0) (0,0,5)",
    "space origin": "(1,2,3)",
}  # fmt: skip
META = {
    "NDims": "3", "BinaryData": "True", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "1 2 3",
    "ElementSpacing": "2 2 5", "DimSize": "4 5 6", "ElementType": "MET_SHORT",
}  # fmt: skip


def write_nrrd(path, **fields):
    told = NRRD | {name.replace("_", " "): value for name, value in fields.items()}
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in told.items() if value)]
    path.write_bytes("\n".join([*lines, "", ""]).encode() + VOXELS.tobytes())
    return path


def write_meta(path, **fields):
    told = {"ObjectType": "Image"} | META | fields | {"ElementDataFile": "LOCAL"}
    lines = [f"{name} = {value}\n" for name, value in told.items() if value]
    path.write_bytes("".join(lines).encode() + VOXELS.tobytes())
    return path


WRONG_NRRD = {
    "no space": ({"space": ""}, "no_orientation"),
    "only a dimension of space": ({"space": "", "space_dimension": "3"}, "no_orientation"),
    "scanner's space": ({"space": "scanner-xyz"}, "no_orientation"),
    "any right-handed space": ({"space": "3D-right-handed"}, "no_orientation"),
    "spacings alone": (
        {"space": "", "space_directions": "", "space_origin": "", "spacings": "2 2 5"},
        "no_orientation",
    ),
    "nothing": ({"space": "", "space_directions": "", "space_origin": ""}, "no_spacing"),
    "in metres": ({"space_units": '"m" "m" "m"'}, "spacing_contradiction"),
    "in cm": ({"space_units": '"cm" "cm" "cm"'}, "spacing_contradiction"),
    "directions and spacings": ({"spacings": "1 1 5"}, "unreadable"),
}
WRONG_META = {
    "no matrix": ({"TransformMatrix": ""}, "no_orientation"),
    "orientation in letters alone": (
        {"TransformMatrix": "", "AnatomicalOrientation": "RAI"},
        "no_orientation",
    ),
    "no spacing": ({"ElementSpacing": ""}, "no_spacing"),
    "size against spacing": ({"ElementSize": "1 1 5"}, "spacing_contradiction"),
    "in cm": ({"DistanceUnits": "cm"}, "spacing_contradiction"),
    "negative spacing": ({"ElementSpacing": "-2 2 5"}, "senseless_header"),
    "rescale that readers ignore": (
        {"ElementToIntensityFunctionSlope": "2"},
        "rescale_contradiction",
    ),
    "intercept that readers ignore": (
        {"ElementToIntensityFunctionOffset": "-1024"},
        "rescale_contradiction",
    ),
}


def code_of(path):
    with pytest.raises(VolumeError) as raised:
        read_whole_volume(path)
    return raised.value.code


@pytest.mark.parametrize("name", WRONG_NRRD)
def test_a_nrrd_that_cannot_be_believed_is_not_read(tmp_path, name):
    fields, code = WRONG_NRRD[name]
    assert code_of(write_nrrd(tmp_path / "scan.nrrd", **fields)) == code


@pytest.mark.parametrize("name", WRONG_META)
@pytest.mark.parametrize("suffix", [".mha", ".MHA"])
def test_a_metaimage_that_cannot_be_believed_is_not_read(tmp_path, name, suffix):
    fields, code = WRONG_META[name]
    assert code_of(write_meta(tmp_path / f"scan{suffix}", **fields)) == code


def assert_is_source(image, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    assert image.GetSpacing() == (2, 2, 5)
    assert image.GetDirection() == direction
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VOXELS)


@pytest.mark.parametrize(
    "fields",
    [{}, {"space": "LPS"}, {"space_units": '"mm" "mm" "mm"'}, {"kinds": "domain domain domain"}],
)
def test_a_nrrd_of_the_patient_s_space_is_read(tmp_path, fields):
    assert_is_source(read_whole_volume(write_nrrd(tmp_path / "scan.nrrd", **fields)))


def test_a_nrrd_of_ras_space_is_turned(tmp_path):
    path = write_nrrd(tmp_path / "scan.nrrd", space="right-anterior-superior")
    assert_is_source(read_whole_volume(path), (-1, 0, 0, 0, -1, 0, 0, 0, 1))


@pytest.mark.parametrize(
    "fields",
    [
        {"ElementSize": "2 2 5"},
        {"ElementSize": "2 2 6"},  # slices that overlap
        {"ElementSpacing": "", "ElementSize": "2 2 5"},
        {"DistanceUnits": "mm", "AnatomicalOrientation": "???"},
        {"ElementToIntensityFunctionSlope": "1", "ElementToIntensityFunctionOffset": "0"},
        {"TransformMatrix": "", "Orientation": META["TransformMatrix"]},
    ],
)
def test_a_metaimage_that_agrees_with_itself_is_read(tmp_path, fields):
    assert_is_source(read_whole_volume(write_meta(tmp_path / "scan.mha", **fields)))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nhdr"])
def test_what_is_no_volume_is_told_as_such(tmp_path, suffix):
    (tmp_path / f"scan{suffix}").write_text("not a volume")
    assert code_of(tmp_path / f"scan{suffix}") == "unreadable"
    assert code_of(tmp_path / f"absent{suffix}") == "unreadable"


@pytest.mark.parametrize("field", ["space", "space_units", "DistanceUnits"])
def test_a_text_that_may_be_a_name_is_not_shown(tmp_path, field):
    name = '"Quxfather"' if field == "space_units" else "Quxfather"
    if field == "DistanceUnits":
        path = write_meta(tmp_path / "scan.mha", **{field: name})
    else:
        path = write_nrrd(tmp_path / "scan.nrrd", **{field: name})
    with pytest.raises(VolumeError, match="of no known kind") as error:
        read_whole_volume(path)
    assert "Quxfather" not in str(error.value)


def test_field_names_of_a_nrrd_may_have_capitals(tmp_path):
    """Its format says so."""
    path = write_nrrd(tmp_path / "scan.nrrd", space="")
    told = b"Space: left-posterior-superior\nsizes"
    path.write_bytes(path.read_bytes().replace(b"sizes", told, 1))
    assert read_whole_volume(path).GetSpacing() == (2, 2, 5)


def test_a_word_that_comes_again_and_again_is_not_searched_for_from_each():
    """Or a file of 1 MiB would keep a run for minutes."""
    again = b"ElementDataFile" * (1 << 16)
    assert named_in_header(again) == []
    assert named_in_header(again + b" = scan.raw\n") == ["scan.raw"]
