"""NIfTI headers that contradict themselves, and files that are not what their name says."""

import gzip
import itertools
import math

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from coala_kedro.imaging.files import (
    VolumeError,
    read_volume,
    read_whole_volume,
)
from coala_kedro.imaging.nifti_facts import is_read_alike, volume_header_facts

AFFINE = np.array([[-2.0, 0, 0, 10.5], [0, -2.0, 0, 20.25], [0, 0, 5.0, -30], [0, 0, 0, 1]])
VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def scaled(*factors):
    return AFFINE * [*factors, 1]


FLIPPED = scaled(-1, 1, 1)
TURNED = AFFINE @ np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
MOVED = AFFINE + np.array([[0, 0, 0, 0]] * 2 + [[0, 0, 0, 5], [0, 0, 0, 0]])
SHEARED = AFFINE + np.array([[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
TEMPLATE = scaled(1.2, 0.9, 1.1) + np.array([[0, 0, 0, 3]] * 3 + [[0, 0, 0, 0]])


def write(path, sform=(AFFINE, 1), qform=(AFFINE, 1), kind=nibabel.Nifti1Image, **header):
    """Write a file with the header's raw fields; nothing mends them."""
    made = kind(VOXELS, None)
    raw = made.header
    raw["pixdim"][1:4] = 2, 2, 5
    for name, (affine, code) in (("qform", qform), ("sform", sform)):
        if code:
            getattr(raw, f"set_{name}")(affine, code)
    raw["pixdim"][1:4] = 2, 2, 5
    raw["vox_offset"] = 352 if kind is nibabel.Nifti1Image else 544
    for field, value in header.items():
        if field == "pixdim":
            raw["pixdim"][: len(value)] = value
        else:
            raw[field] = value
    content = raw.binaryblock + bytes(4) + VOXELS.tobytes(order="F")
    gz = path.suffix == ".gz"
    path.write_bytes(gzip.compress(content) if gz else content)
    return path


SPACING, FORMS, RESCALE = (f"{what}_contradiction" for what in ("spacing", "form", "rescale"))
NO_SIDES, SENSELESS = "no_orientation", "senseless_header"
NONE = (AFFINE, 0)
CONTRADICTIONS = {
    "pixdim is half the sform": ({"pixdim": (1, 1, 1, 5)}, SPACING),
    "pixdim is of other slices": ({"pixdim": (1, 2, 2, 2.5)}, SPACING),
    "pixdim was never set": ({"qform": NONE, "pixdim": (1, 1, 1, 1)}, SPACING),
    "sform of finer voxels": ({"sform": (scaled(0.5, 0.5, 1), 1)}, SPACING),
    "sform of finer voxels alone": ({"sform": (scaled(0.9, 0.9, 1), 2), "qform": NONE}, SPACING),
    "forms of different sides": ({"sform": (FLIPPED, 1)}, FORMS),
    "forms of different sides, aligned": ({"sform": (FLIPPED, 2)}, FORMS),
    "forms of exchanged axes": ({"sform": (TURNED, 1)}, FORMS),
    "forms a slice apart": ({"sform": (MOVED, 2)}, FORMS),
    "sheared sform": ({"sform": (SHEARED, 1), "pixdim": (1, 2, 2, math.sqrt(26))}, FORMS),
    "no form": ({"sform": NONE, "qform": NONE}, NO_SIDES),
    "negative pixdim": ({"pixdim": (1, -2, 2, 5)}, SENSELESS),
    "pixdim of 0": ({"pixdim": (1, 2, 2, 0), "sform": NONE}, SENSELESS),
    "pixdim of NaN": ({"pixdim": (1, math.nan, 2, 5)}, SENSELESS),
    "NaN in the sform": ({"srow_x": (math.nan, 0, 0, 0)}, SENSELESS),
    "sform of zeros": ({"srow_x": 0, "srow_y": 0, "srow_z": 0}, SENSELESS),
    "NaN in the qform": ({"qoffset_x": math.nan}, SENSELESS),
    "infinite qform": ({"qoffset_z": math.inf, "sform": NONE}, SENSELESS),
    "quaternion of no rotation": ({"quatern_b": 0.9, "quatern_c": 0.9}, SENSELESS),
    "slope 0, intercept": ({"scl_slope": 0, "scl_inter": -1024}, RESCALE),
    "slope NaN, intercept": ({"scl_slope": math.nan, "scl_inter": -1024}, RESCALE),
    "intercept NaN": ({"scl_slope": 1, "scl_inter": math.nan}, RESCALE),
    "slope infinite": ({"scl_slope": math.inf, "scl_inter": 0}, RESCALE),
    "fewer slices than voxels": ({"dim": (3, 4, 5, 3, 1, 1, 1, 1)}, SENSELESS),
    "more slices than voxels": ({"dim": (3, 4, 5, 7, 1, 1, 1, 1)}, "unreadable"),
    "negative size": ({"dim": (3, 4, 5, -6, 1, 1, 1, 1)}, SENSELESS),
    "no dimension": ({"dim": (0, 4, 5, 6, 1, 1, 1, 1)}, SENSELESS),
    "half of a pair": ({"magic": b"ni1"}, SENSELESS),
    "voxels within the header": ({"vox_offset": 0}, SENSELESS),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_header_that_contradicts_itself_is_not_read(tmp_path, name):
    options, code = CONTRADICTIONS[name]
    path = write(tmp_path / "scan.nii.gz", **options)
    with pytest.raises(VolumeError) as raised:
        read_whole_volume(path)
    assert raised.value.code == code
    # How many bytes there are is not told by the header.
    assert not is_read_alike(path) or "slices than voxels" in name


def test_what_differs_is_told_with_both_values(tmp_path):
    path = write(tmp_path / "a.nii", pixdim=(1, 1, 1, 5))
    with pytest.raises(VolumeError, match=r"pixdim is \(1, 1, 5\) mm, the .form says \(2, 2, 5\)"):
        read_whole_volume(path)
    path = write(tmp_path / "a.nii", sform=(FLIPPED, 1))
    with pytest.raises(VolumeError, match="the qform says LPS, the sform RPS"):
        read_whole_volume(path)
    path = write(tmp_path / "a.nii", sform=(MOVED, 1))
    with pytest.raises(VolumeError, match=r"\(10.5, 20.25, -30\) mm, .* \(10.5, 20.25, -25\) mm"):
        read_whole_volume(path)


def assert_is_source(image, spacing_mm=(2, 2, 5), origin_mm=(-10.5, -20.25, -30)):
    assert np.allclose(image.GetSpacing(), spacing_mm, rtol=1e-6)
    assert np.allclose(image.GetOrigin(), origin_mm, rtol=1e-6)
    assert np.allclose(image.GetDirection(), np.eye(3).ravel(), atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VOXELS.T)


SOUND = {
    "both forms": {},
    "qform alone": {"sform": NONE},
    "sform alone": {"qform": NONE},
    "aligned sform": {"sform": (AFFINE, 2)},
    "both of an atlas": {"sform": (AFFINE, 4), "qform": (AFFINE, 4)},
    "no unit": {"xyzt_units": 0},
    "mm and seconds": {"xyzt_units": 2 + 8},
    "qfac 0": {"pixdim": (0, 2, 2, 5)},
    "no rescale": {"scl_slope": 0, "scl_inter": 0},
    "no rescale, slope 1": {"scl_slope": 1, "scl_inter": 0},
    "rounded spacing": {"pixdim": (1, 2.003, 2, 5)},
    "one volume in four dimensions": {"dim": (4, 4, 5, 6, 1, 1, 1, 1)},
    "leftovers beyond the dimensions": {"dim": (3, 4, 5, 6, 9, 0, 0, 0)},
    "called a label map": {"intent_code": 1002},
}


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_agrees_with_itself_is_read(tmp_path, name, suffix):
    path = write(tmp_path / f"scan{suffix}", **SOUND[name])
    pixdim = SOUND[name].get("pixdim", (1, 2, 2, 5))
    assert_is_source(read_whole_volume(path), spacing_mm=pixdim[1:])
    assert is_read_alike(path) == (suffix == ".nii.gz")


@pytest.mark.parametrize("code", [3, 4, 5])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_beside_the_scanner_s_form_an_atlas_s_does_not_count(tmp_path, code, suffix):
    path = write(tmp_path / f"scan{suffix}", sform=(TEMPLATE, code))
    assert_is_source(read_whole_volume(path))
    assert volume_header_facts(path) == {}
    assert not is_read_alike(path)


def test_a_volume_in_an_atlas_is_told(tmp_path):
    path = write(tmp_path / "scan.nii.gz", sform=(AFFINE, 4), qform=NONE)
    assert volume_header_facts(path) == {"template_space": 4}
    assert volume_header_facts(write(tmp_path / "scan.nii.gz")) == {}


@pytest.mark.parametrize(("unit", "mm"), [(1, 1000), (3, 0.001)])
def test_metres_and_microns_are_read_as_mm(tmp_path, unit, mm):
    affine = np.diag([1 / mm] * 3 + [1]) @ AFFINE
    path = write(
        tmp_path / "scan.nii.gz", (affine, 1), (affine, 1),
        pixdim=(1, 2 / mm, 2 / mm, 5 / mm), xyzt_units=unit,
    )  # fmt: skip
    assert_is_source(read_whole_volume(path))
    assert not is_read_alike(path)  # nibabel ignores the unit


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.NII", "Scan.Nii.GZ"])
def test_a_file_is_read_whatever_its_version_and_name(tmp_path, kind, zipped, name):
    content = write(tmp_path / "made.nii", kind=kind).read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if zipped else content)
    for read in (read_volume, read_whole_volume):
        assert_is_source(read(path))
    plain = (kind, zipped, name) == (nibabel.Nifti1Image, True, "scan.nii.gz")
    assert is_read_alike(path) == plain


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
def test_what_is_cut_off_is_not_read_whatever_it_is_named(tmp_path, kind, name):
    content = write(tmp_path / "made.nii", kind=kind).read_bytes()
    for cut in (gzip.compress(content)[:-30], content[:-30]):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(VolumeError, match="truncated or damaged"):
            read_whole_volume(tmp_path / name)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("order", "<>")
def test_voxels_of_any_type_are_those_of_nibabel(tmp_path, dtype, order):
    voxels = VOXELS.astype(np.dtype(dtype).newbyteorder(order))
    header = nibabel.Nifti2Header(endianness=order)
    header.set_data_dtype(dtype)
    nibabel.save(nibabel.Nifti2Image(voxels, AFFINE, header), tmp_path / "scan.nii")
    read = read_whole_volume(tmp_path / "scan.nii")
    assert_is_source(read)
    assert sitk.GetArrayFromImage(read).dtype == dtype


def test_a_rescale_is_applied_in_nifti_2_as_in_nifti_1(tmp_path):
    one, two = (
        write(tmp_path / f"{n}.nii", kind=kind, scl_slope=2.5, scl_inter=-1024)
        for n, kind in enumerate((nibabel.Nifti1Image, nibabel.Nifti2Image))
    )
    read = [sitk.GetArrayFromImage(read_whole_volume(path)) for path in (one, two)]
    np.testing.assert_array_equal(*read)
    np.testing.assert_array_equal(read[1], VOXELS.T * np.float32(2.5) - 1024)


def test_an_analyze_file_tells_no_orientation(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(VOXELS, np.diag([2, 2, 5, 1])), tmp_path / "scan.img")
    for name in ("scan.img", "scan.hdr"):
        with pytest.raises(VolumeError, match="Analyze") as raised:
            read_whole_volume(tmp_path / name)
        assert raised.value.code == "no_orientation"


def test_a_pair_is_read_and_its_header_too(tmp_path):
    pair = nibabel.Nifti1Pair(VOXELS, AFFINE)
    nibabel.save(pair, tmp_path / "scan.img")
    assert_is_source(read_whole_volume(tmp_path / "scan.img"))
    assert_is_source(read_whole_volume(tmp_path / "scan.hdr"))
    pair.header["pixdim"][1:4] = 1
    (tmp_path / "scan.hdr").write_bytes(pair.header.binaryblock)
    with pytest.raises(VolumeError, match="pixdim"):
        read_whole_volume(tmp_path / "scan.img")


def test_what_simpleitk_writes_is_sound_in_every_direction(tmp_path):
    seeds = np.random.default_rng(0)
    rotations = [Rotation.identity(), *Rotation.random(20, random_state=0)]
    # Near half a turn, quaternions of single precision are least exact.
    rotations += [Rotation.from_rotvec(1e-3 * seeds.normal(size=3)) for _ in range(20)]
    for rotation, signs in zip(rotations, itertools.cycle(itertools.product((1, -1), repeat=3))):
        image = sitk.GetImageFromArray(VOXELS.T.copy())
        image.SetSpacing(seeds.uniform(0.5, 5, 3).tolist())
        image.SetOrigin(seeds.uniform(-900, 900, 3).tolist())
        image.SetDirection((rotation.as_matrix() * signs).ravel().tolist())
        sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"), useCompression=True)
        read = read_whole_volume(tmp_path / "scan.nii.gz")
        assert is_read_alike(tmp_path / "scan.nii.gz")
        np.testing.assert_allclose(read.GetDirection(), image.GetDirection(), atol=1e-5)
