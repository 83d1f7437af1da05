import dataclasses
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from abdomens import BROKEN_ABDOMENS
from broken import BROKEN, a_whole_cohort_at, as_label_files, flip, rewrite, stray
from broken_tables import OF_THE_PATIENT
from hospital import READERS, Hospital, abdomen, image, truncate, write
from pydantic import ValidationError

from coala_kedro.cohort import CohortError
from coala_kedro.organs.segmenter import Phase
from coala_kedro.pipelines.preprocessing.checks import (
    ALWAYS_REFUSED,
    CHECKS,
    Limits,
    Screening,
)
from coala_kedro.pipelines.preprocessing.screening import FINDINGS


@pytest.fixture(scope="session")
def sound_hospital(tmp_path_factory):
    return Hospital(tmp_path_factory.mktemp("sound")).build()


@pytest.fixture
def hospital(sound_hospital, tmp_path):
    shutil.copytree(sound_hospital.root, tmp_path / "hospital")
    return Hospital(tmp_path / "hospital")


def codes(findings, scan_id=None):
    chosen = findings if scan_id is None else findings[findings["scan_id"] == scan_id]
    return sorted(zip(chosen["code"], chosen["severity"], strict=True))


def test_a_sound_hospital_is_accepted_as_it_is(hospital):
    accepted, findings = hospital.screen()
    pd.testing.assert_frame_equal(accepted, hospital.table)
    assert findings.empty
    assert list(findings) == FINDINGS


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN | BROKEN_ABDOMENS)
def test_what_is_broken_is_told_with_its_reason_and_the_rest_goes_on(hospital, name):
    spoil, *expected = (BROKEN | BROKEN_ABDOMENS)[name]
    spoil(hospital)
    accepted, findings = hospital.screen()
    found = findings[findings["scan_id"] == "a_pre"]
    assert sorted(found["code"]) == sorted(expected)
    assert found["remedy"].str.len().gt(10).all()
    refused = (found["severity"] == "refuse").any()
    assert ("a_pre" in set(accepted["scan_id"])) == (not refused)
    untouched = {"same_voxels": {"a_post"}}.get(expected[0], {"a_post", "b_pre"})
    if expected[0] in OF_THE_PATIENT:
        untouched = {"b_pre"}
    assert untouched <= set(accepted["scan_id"])
    assert not findings[findings["scan_id"].isin(untouched)].size


def test_files_without_a_row_are_told(hospital):
    stray(hospital)
    shutil.copy(hospital.mask("reader_1", "a_pre"), hospital.mask("reader_1", "other"))
    accepted, findings = hospital.screen()
    assert len(accepted) == 3
    assert codes(findings, "stray") == codes(findings, "other") == [("no_row", "warn")]


def test_a_fault_of_the_table_is_told_before_any_file_is_read(hospital):
    hospital.table.loc[0, "role"] = "train"
    with pytest.raises(CohortError, match="scan 'a_post', column 'role': 'train' must be one of"):
        hospital.inspected()


def test_masks_of_a_scan_that_needs_none_are_not_screened(hospital):
    hospital.table.loc[2, "role"] = "unlabelled"
    hospital.mask("reader_1", "b_pre").write_text("")
    accepted, findings = hospital.screen()
    assert len(accepted) == 3
    assert findings.empty


def another_hospital(root, scan_id="x_pre", patient_id="x"):
    """One that is trained on, with its usable scans and facts."""
    other = Hospital(root)
    other.table = pd.DataFrame(
        [(scan_id, patient_id, "pre", "manual", "2019-01-01")], columns=list(other.table)
    )
    hu, organs, crlm = abdomen(seed=99)
    write(image(hu), other.scan(scan_id))
    write(image(organs), other.organs(scan_id))
    for reader in READERS:
        write(image(crlm), other.mask(reader, scan_id))
    return other


def test_nobody_is_trained_on_in_one_cohort_and_tested_in_the_other(hospital, tmp_path):
    other = another_hospital(tmp_path / "other", patient_id="a")
    accepted, findings = hospital.screen(other.table, other.inspected())
    assert codes(findings) == [("patient_in_both_cohorts", "refuse")] * 2
    assert list(accepted["scan_id"]) == ["b_pre"]


def test_the_same_voxels_in_the_other_cohort_are_found(hospital, tmp_path):
    other = another_hospital(tmp_path / "other")
    shutil.copy(hospital.scan("b_pre"), other.scan("x_pre"))
    accepted, findings = hospital.screen(other.table, other.inspected())
    assert codes(findings, "b_pre") == [("same_voxels", "refuse")]
    assert findings["measured"].item() == "as the other cohort's 'x_pre'"
    assert list(accepted["scan_id"]) == ["a_post", "a_pre"]


def test_what_another_cohort_refused_is_not_held_against_this_one(hospital, tmp_path):
    other = another_hospital(tmp_path / "other", patient_id="a")
    _, findings = hospital.screen(other.table.iloc[:0], other.inspected())
    assert findings.empty


def test_strict_screening_stops_and_tells_every_fault(hospital):
    truncate(hospital.scan("b_pre"))
    rewrite(hospital.mask("reader_1", "a_pre"), lambda voxels: voxels * 0)
    with pytest.raises(CohortError) as raised:
        hospital.screen(strict=True)
    title, *faults = str(raised.value).splitlines()
    assert title == "Cohort 'internal' has 2 faults, and screening.strict is set:"
    assert faults[0].startswith(
        "- scan 'a_pre', mask of reader_1: mask_empty (0): outline the scan"
    )
    assert faults[1].startswith(
        "- scan 'b_pre', scan: unreadable (the file is truncated or damaged"
    )


def test_strict_screening_lets_warnings_pass(hospital):
    hospital.mask("reader_2", "a_pre").unlink()
    accepted, findings = hospital.screen(strict=True)
    assert len(accepted) == 3
    assert codes(findings) == [("mask_absent", "warn")]


@pytest.mark.parametrize("values", [2, [2], dict.fromkeys(READERS, 2)])
def test_of_a_label_file_the_value_that_is_told_is_the_lesion(hospital, values):
    """MSD, LiTS and nnU-Net folders: without a value nothing of them is CRLM."""
    lesions = sitk.GetArrayFromImage(hospital.read(hospital.mask("reader_1", "a_pre")))
    as_label_files(hospital)
    assert hospital.mask_entry["values"] == 2
    hospital.mask_entry["values"] = values
    accepted, findings = hospital.screen()
    assert findings.empty
    _, masks = hospital.imported(accepted)
    assert len(masks) == 6
    for mask in masks.values():
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), lesions)


def test_a_label_file_without_the_lesions_value_is_refused(hospital):
    as_label_files(hospital)
    del hospital.mask_entry["values"]
    with pytest.raises(CohortError, match="tell which are the lesion by `values`"):
        hospital.screen()


def test_a_cohort_of_which_nothing_is_left_stops(hospital):
    for scan_id in hospital.table["scan_id"]:
        truncate(hospital.scan(scan_id))
    with pytest.raises(CohortError, match="has 3 faults, and no scan is left"):
        hospital.screen()


def test_severities_and_limits_are_the_study_s_own(hospital):
    rewrite(hospital.mask("reader_1", "a_pre"), lambda voxels: voxels * 0)
    shutil.copy(hospital.mask("reader_2", "b_pre"), hospital.mask("reader_2", "stray"))
    a_whole_cohort_at((2.5, 2.5, 5.0))(hospital)
    accepted, findings = hospital.screen(
        severity={"mask_empty": "warn", "no_row": "ignore"}, limits={"max_spacing_mm": 2.5}
    )
    assert len(accepted) == 3
    assert codes(findings) == [("mask_empty", "warn")]


def test_situs_inversus_stays_if_the_study_says_so(hospital):
    flip(hospital)
    accepted, findings = hospital.screen(severity={"left_right_flip": "warn"})
    assert codes(findings) == [("left_right_flip", "warn")]
    assert len(accepted) == 3


def test_a_finding_tells_what_was_measured_and_its_limit(hospital):
    a_whole_cohort_at((2.5, 2.5, 5.0))(hospital)
    _, findings = hospital.screen()
    (finding,) = findings.to_dict("records")
    assert finding["measured"] == "2.5"
    assert finding["limit"] == "max_spacing_mm: 2"


def test_findings_are_logged_without_the_place_of_a_file(hospital, caplog):
    truncate(hospital.scan("a_pre"))
    with caplog.at_level(logging.INFO):
        _, findings = hospital.screen()
    assert "internal, scan 'a_pre', scan: unreadable" in caplog.text
    assert "internal: 2 of 3 scans accepted." in caplog.text
    assert str(hospital.root) not in caplog.text + findings.to_csv()


def test_codes_are_said_once():
    listed = [check.code for check in CHECKS]
    assert len(listed) == len(set(listed))
    assert set(listed) >= ALWAYS_REFUSED


def test_a_check_names_a_limit_that_exists():
    assert {check.limit for check in CHECKS} - {""} <= set(Limits.model_fields)


def test_every_limit_is_used():
    used = {check.limit for check in CHECKS} | {"liver_margin_mm"}
    assert set(Limits.model_fields) <= used


def test_checks_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CHECKS[0].severity = "ignore"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"severity": {"no_liver": "keep"}}, "'refuse', 'warn' or 'ignore'"),
        ({"severity": {"no_kidney": "warn"}}, "no check no_kidney; there are no_file"),
        ({"severity": {"unreadable": "warn"}}, "a scan cannot be used in spite of unreadable"),
        ({"limits": {"min_slices": 0}}, "min_slices"),
        ({"limits": {"max_slices": 500}}, "max_slices"),
        ({"limits": {"mask_values": [1, 2]}}, "`values` in the catalog entry of raw_reader_masks"),
        ({"empty_reader_mask": "keep"}, "empty_reader_mask"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_the_run(options, told):
    with pytest.raises(ValidationError, match=told):
        Screening(**options)


class ToldPhase:
    """An organ segmenter that tells every scan's phase."""

    tells_phase = True

    def __init__(self, masks, phase):
        self.phase = phase
        self.fingerprint, self.fingerprint_for = masks.fingerprint, masks.fingerprint_for
        self.check, self.segment = masks.check, masks.segment

    def contrast_phase(self, scan_id, scan):
        assert scan.GetSize()[2] == 13
        return self.phase if scan_id == "a_pre" else None


@pytest.mark.parametrize(
    ("name", "probability", "told"),
    [
        ("native", 1.0, "native (1.0)"),
        ("arterial_late", 0.3, "arterial_late (0.3)"),
        ("portal_venous", 0.3, "portal_venous (0.3)"),
        ("portal_venous", 0.7, None),
    ],
)
def test_another_contrast_phase_is_warned_of(hospital, monkeypatch, name, probability, told):
    segmenter = ToldPhase(hospital.segmenter, Phase(name, probability))
    monkeypatch.setattr(Hospital, "segmenter", segmenter)
    accepted, findings = hospital.screen()
    assert len(accepted) == 3
    assert codes(findings, "a_pre") == ([("contrast_phase", "warn")] if told else [])
    assert list(findings["measured"]) == ([told] if told else [])


def test_a_contrast_phase_can_be_ignored(hospital, monkeypatch):
    monkeypatch.setattr(Hospital, "segmenter", ToldPhase(hospital.segmenter, Phase("native", 1.0)))
    _, findings = hospital.screen(severity={"contrast_phase": "ignore"})
    assert findings.empty
