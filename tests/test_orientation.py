"""The same scan gives the same facts, tables, pictures and training input, however it is stored."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from evaluated import NORMAL, Cohort, evaluate, mask
from hospital import Hospital, abdomen, image
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from storage import ORDERS_AND_FLIPS, stored

from coala_kedro.imaging.geometry import CANONICAL, grid_differences, orientation_of
from coala_kedro.imaging.inspection import inspect_anatomy, inspect_lesion_sizes, inspect_scan
from coala_kedro.nnunet.planning import canonical_cases
from coala_kedro.organs import EXPECTED_CENTRES_MM, LIVER_ID, SPLEEN_ID
from coala_kedro.pipelines.evaluation.pictures import Shown, _panels
from coala_kedro.pipelines.preprocessing.reader_consensus import (
    ConsensusMethod,
    compare_readers,
    estimate_consensus,
)

pytestmark = pytest.mark.slow

CORONAL, SAGITTAL_FLIPPED = ((0, 2, 1), (False, True, False)), ((2, 1, 0), (True, False, True))
OTHERWISE = [CORONAL, SAGITTAL_FLIPPED, ((0, 1, 2), (True, True, False))]
TILT = sitk.VersorTransform((0.2, -0.1, 0.9), 0.15).GetMatrix()
TYPES = (sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkInt32, sitk.sitkFloat64)
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def tilted(array):
    made = image(array, spacing_mm=(0.7, 0.8, 2.4), origin_mm=(-101.5, 55.25, 12.75))
    made.SetDirection(TILT)
    return made


@pytest.fixture(scope="module")
def scan_and_labels():
    random = np.random.default_rng(0)
    shape = (5, 6, 7)
    hu = tilted(random.integers(-1000, 1000, shape, np.int16))
    return hu, tilted(random.integers(0, 14, shape, np.uint8))


def test_networks_are_trained_on_the_same_voxels(scan_and_labels, tmp_path):
    """Read as nnU-Net reads: as the voxels lie."""
    for n, how in enumerate(ORDERS_AND_FLIPS):
        _assert_trained_on_the_same_voxels(*scan_and_labels, how, n, tmp_path / str(n))


def _assert_trained_on_the_same_voxels(scan, labels, how, n, tmp_path):
    tmp_path.mkdir()
    files = {
        name: tmp_path / f"{name}{SUFFIXES[n % len(SUFFIXES)]}" for name in ("scan", "label_map")
    }
    other = sitk.Cast(stored(scan, *how), TYPES[n // 4 % len(TYPES)])
    sitk.WriteImage(other, str(files["scan"]), useCompression=n % 2 == 0)
    sitk.WriteImage(stored(labels, *how), str(files["label_map"]))
    cases = {"a": {"images": [str(files["scan"])], "label": str(files["label_map"])}}

    read = canonical_cases(cases, tmp_path)["a"]
    voxels, properties = SimpleITKIO().read_images(read["images"])
    drawn, of_labels = SimpleITKIO().read_seg(read["label"])
    np.testing.assert_array_equal(voxels[0], sitk.GetArrayFromImage(scan).astype(np.float32))
    np.testing.assert_array_equal(drawn[0], sitk.GetArrayFromImage(labels))
    for found in (properties, of_labels):
        np.testing.assert_allclose(found["spacing"], (2.4, 0.8, 0.7), rtol=1e-7)
        assert grid_differences(sitk.ReadImage(read["label"]), scan) == []
    as_it_lay = orientation_of(other) == CANONICAL
    assert (read["images"] == [str(files["scan"])]) == as_it_lay
    assert (read["label"] == str(files["label_map"])) == as_it_lay


def test_a_training_set_that_lies_right_is_referred_to_and_not_copied(scan_and_labels, tmp_path):
    for name, made in zip(("scan", "label_map"), scan_and_labels, strict=True):
        sitk.WriteImage(made, str(tmp_path / f"{name}.nii.gz"))
    raw = tmp_path / "raw"
    cases = {
        "a": {
            "images": [str(tmp_path / "scan.nii.gz")],
            "label": str(tmp_path / "label_map.nii.gz"),
        }
    }
    assert canonical_cases(cases, raw, workers=2) == cases
    assert not raw.exists()


def test_screening_measures_the_same(scan_and_labels):
    scan, crlm = scan_and_labels[0], tilted(mask(1, 9))
    facts, sizes = inspect_scan(scan), inspect_lesion_sizes(crlm)
    for how in ORDERS_AND_FLIPS:
        assert inspect_scan(sitk.Cast(stored(scan, *how), sitk.sitkFloat32)) == facts
        assert inspect_lesion_sizes(stored(crlm, *how)) == sizes


@pytest.mark.parametrize("how", OTHERWISE)
def test_the_same_is_measured_of_the_anatomy(how):
    volumes = [image(array) for array in abdomen(0)]
    settings = {
        "liver": LIVER_ID,
        "spleen": SPLEEN_ID,
        "expected_mm": EXPECTED_CENTRES_MM,
        "margin_mm": 10.0,
    }
    expected = inspect_anatomy(*volumes, **settings)
    assert len(expected) > 8
    found = inspect_anatomy(*(stored(volume, *how) for volume in volumes), **settings)
    assert found == {
        name: pytest.approx(fact) if isinstance(fact, float) else fact
        for name, fact in expected.items()
    }


def test_a_copy_is_found_though_it_is_stored_otherwise(tmp_path):
    hospital = Hospital(tmp_path).build()
    scan = sitk.Cast(stored(image(abdomen(0)[0]), *CORONAL), sitk.sitkFloat32)
    sitk.WriteImage(scan, str(hospital.scan("b_pre")))
    for path in (hospital.organs("b_pre"), *(tmp_path / "readers").glob("*/b_pre.nii.gz")):
        sitk.WriteImage(stored(hospital.read(path), *CORONAL), str(path))
    _, findings = hospital.accept()
    copies = findings[findings["code"] == "same_voxels"]
    assert {*copies["scan_id"]} == {"a_post", "b_pre"}


def lazily(made):
    return lambda: made


def turned(volumes, how):
    return {name: lazily(stored(volume(), *how)) for name, volume in volumes.items()}


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return evaluate(Cohort(*NORMAL[:5]), tmp_path_factory.mktemp("normal"))


@pytest.mark.parametrize("how", OTHERWISE)
def test_tables_are_the_same(frames, how, tmp_path):
    cohort = Cohort(*NORMAL[:5])
    for part in ("scans", "label_maps", "readers"):
        setattr(cohort, part, turned(getattr(cohort, part), how))
    cohort.predictions = {model: turned(made, how) for model, made in cohort.predictions.items()}
    for name, frame in evaluate(cohort, tmp_path).items():
        pd.testing.assert_frame_equal(frame, frames[name], check_exact=True, obj=name)


def compared(cohort, readers):
    estimates = estimate_consensus(cohort.accepted, readers, ConsensusMethod())
    return compare_readers(cohort.accepted, {scan: make() for scan, make in estimates.items()})


@pytest.mark.parametrize("how", OTHERWISE)
def test_readers_lesions_are_numbered_alike(how):
    cohort = Cohort(*NORMAL[:5])
    cohort.accepted["role"] = "manual"
    expected = compared(cohort, cohort.readers)
    found = compared(cohort, turned(cohort.readers, how))
    assert len(expected[2]) > len(cohort.accepted)
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("how", OTHERWISE)
def test_pictures_show_the_same_axial_slice(how):
    cohort = Cohort(NORMAL[0])
    cohort.scans["a_pre"] = lazily(image(np.random.default_rng(0).normal(size=(6, 20, 20))))
    volumes = cohort.scans, cohort.label_maps, cohort.predictions["student"]
    shown = [Shown("internal", "a_pre", "")]
    (expected,) = _panels(shown, {"internal": volumes})
    (panel,) = _panels(shown, {"internal": tuple(turned(part, how) for part in volumes)})
    for field in dataclasses.fields(panel):
        np.testing.assert_array_equal(getattr(panel, field.name), getattr(expected, field.name))
