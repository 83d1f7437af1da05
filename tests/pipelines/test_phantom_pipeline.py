from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from pydantic import ValidationError

from coala_kedro.anatomy import ORGANS
from coala_kedro.fingerprint import fingerprint
from coala_kedro.pipelines.phantom.nodes import Hospital, admit_patients, scan_patients
from coala_kedro.scan_table_schema import check_scan_table

PARAMETERS = Path(__file__).parents[2] / "conf" / "demo" / "parameters_phantom.yml"


def hospital(cohort):
    return Hospital.model_validate(yaml.safe_load(PARAMETERS.read_text())["phantom"][cohort])


@pytest.fixture
def small():
    """Three patients on a coarse scanner."""
    parameters = hospital("internal").model_dump()
    parameters["scanner"] |= {"size_voxels": (28, 24, 16), "spacing_mm": (11.6, 11.6, 12.8)}
    parameters["patients"] = {
        "manual": {"scanned_pre_and_post": 1},
        "unlabelled": {"scanned_pre_only": 1},
        "test": {"scanned_pre_only": 1},
    }
    return Hospital.model_validate(parameters)


def voxels(image):
    return sitk.GetArrayFromImage(image)


@pytest.mark.parametrize(
    ("cohort", "scans"),
    [("internal", {"manual": 10, "unlabelled": 12, "test": 6}), ("external", {"test": 8})],
)
def test_the_demo_admits_the_patients_its_parameters_say(cohort, scans):
    table = admit_patients(hospital(cohort))
    assert table["role"].value_counts().to_dict() == scans
    assert (table["timepoint"] == "post").sum() == {"internal": 14, "external": 3}[cohort]
    checked = check_scan_table(table, cohort)
    assert len(checked) == sum(scans.values())
    assert (checked.groupby("patient_id")["role"].nunique() == 1).all()


def test_the_demos_hospitals_share_no_scan():
    one, other = (set(admit_patients(hospital(c))["scan_id"]) for c in ("internal", "external"))
    assert not one & other


def test_the_second_scan_comes_after_therapy_with_smaller_metastases():
    table = admit_patients(hospital("internal")).set_index(["patient_id", "timepoint"])
    for _, scans in table.groupby("patient_id"):
        pre, post = (scans.xs(when, level="timepoint").iloc[0] for when in ("pre", "post"))
        weeks = (pd.Timestamp(post["acquired_on"]) - pd.Timestamp(pre["acquired_on"])).days / 7
        assert weeks == 12
        assert post["n_crlm"] == pre["n_crlm"]
        assert post["largest_crlm_diameter_mm"] < pre["largest_crlm_diameter_mm"]
        assert (post["sex"], post["age_years"]) == (pre["sex"], pre["age_years"])


def test_the_same_seed_admits_the_same_patients_and_another_seed_others():
    one, again = admit_patients(hospital("internal")), admit_patients(hospital("internal"))
    pd.testing.assert_frame_equal(one, again)
    other = admit_patients(hospital("internal").model_copy(update={"seed": 99}))
    assert not other["acquired_on"].equals(one["acquired_on"])


def test_the_tables_figures_are_within_the_hospitals_bounds(small):
    table, bounds = admit_patients(small), small.metastases
    assert table["n_crlm"].between(*bounds.count).all()
    smallest, largest = (2 * radius for radius in bounds.radius_mm)
    diameters = table["largest_crlm_diameter_mm"]
    # A radius is stretched by up to 15 %, and shrinks after therapy.
    assert diameters.between(smallest * 0.85 * bounds.shrinkage[0], largest * 1.15).all()


def test_every_patient_is_scanned_and_outlined_where_the_role_says_so(small):
    table = admit_patients(small)
    scans, organs, masks = scan_patients(table, small)
    assert list(scans) == list(organs) == list(table["scan_id"])
    assert set(masks) == set(table.query("role != 'unlabelled'")["scan_id"])


def test_recipes_make_a_scan_its_organs_and_a_mask_per_reader(small):
    scans, organs, masks = scan_patients(admit_patients(small), small)
    scan_id = next(iter(masks))
    scan, organ_mask, readers = scans[scan_id](), organs[scan_id](), masks[scan_id]()
    assert scan.GetPixelID() == sitk.sitkInt16
    assert set(np.unique(voxels(organ_mask))) <= {0, *(o.totalsegmentator_id for o in ORGANS)}
    assert set(readers) == {"reader_1", "reader_2", "reader_3"}
    liver = next(o.totalsegmentator_id for o in ORGANS if o.name == "liver")
    for image in (organ_mask, *readers.values()):
        assert image.GetSize() == scan.GetSize() == (28, 24, 16)
        assert image.GetOrigin() == scan.GetOrigin()
        assert image.GetSpacing() == scan.GetSpacing()
    for mask in readers.values():
        assert (voxels(organ_mask)[voxels(mask) == 1] == liver).all()
        assert voxels(mask).any()


def test_recipes_are_deterministic_and_differ_between_scans(small):
    table = admit_patients(small)
    one, again = scan_patients(table, small), scan_patients(table, small)
    hashes = set()
    for scan_id in table["scan_id"]:
        first, second = (sitk.Hash(made[0][scan_id]()) for made in (one, again))
        assert first == second
        hashes.add(first)
    assert len(hashes) == len(table)
    for scan_id, recipe in one[2].items():
        found, repeated = recipe(), again[2][scan_id]()
        assert {r: sitk.Hash(m) for r, m in found.items()} == {
            r: sitk.Hash(m) for r, m in repeated.items()
        }


def test_both_scans_of_a_patient_have_a_noise_of_their_own(small):
    scans, _, _ = scan_patients(admit_patients(small), small)
    air_pre, air_post = (voxels(scans[f"INT001_{when}"]())[:, 0] for when in ("pre", "post"))
    assert (air_pre != air_post).any()


def test_readers_of_the_same_skill_outline_differently(small):
    alike = small.model_copy(update={"readers": dict.fromkeys("ab", small.readers["reader_2"])})
    _, _, masks = scan_patients(admit_patients(alike), alike)
    outlines = masks["INT001_pre"]()
    assert (voxels(outlines["a"]) != voxels(outlines["b"])).any()


def test_recipes_change_their_fingerprint_with_the_hospital_and_the_scan(small):
    table = admit_patients(small)
    noisier = small.model_copy(
        update={"scanner": small.scanner.model_copy(update={"noise_hu": 20.0})}
    )
    one, other = scan_patients(table, small), scan_patients(table, noisier)
    marks = {
        fingerprint(recipe) for made in (one, other) for kind in made for recipe in kind.values()
    }
    assert len(marks) == 2 * sum(map(len, one))
    assert {fingerprint(r) for r in scan_patients(table, small)[0].values()} <= marks


@pytest.mark.parametrize("change", [{"prefix": "hospital"}, {"seed": -1}, {"wards": 3}])
def test_a_hospital_that_cannot_be_is_refused(small, change):
    with pytest.raises(ValidationError):
        Hospital.model_validate(small.model_dump() | change)
