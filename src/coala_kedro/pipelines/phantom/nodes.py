"""Steps that write a synthetic hospital."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import SimpleITK as sitk
from pydantic import BaseModel, ConfigDict, Field

from coala_kedro.anatomy import STRUCTURE_IDS
from coala_kedro.cohort import ROLES
from coala_kedro.fingerprint import recipe
from coala_kedro.imaging.phantom import (
    BODY,
    Metastases,
    Patient,
    Phantom,
    Reader,
    Scanner,
    draw_patient,
    read,
    sample,
)

_FIRST_DAY = datetime.date(2015, 1, 1)
_WEEKS_OF_THERAPY = 12


class Patients(BaseModel):
    """How many patients of a role; scans are two for a pair, one for the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scanned_pre_and_post: int = Field(0, ge=0)
    scanned_pre_only: int = Field(0, ge=0)


class Hospital(BaseModel):
    """A synthetic cohort."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(pattern=r"^[A-Z]{3}$")
    seed: int = Field(ge=0)
    patients: dict[str, Patients]
    scanner: Scanner
    metastases: Metastases
    readers: dict[str, Reader]


def admit_patients(hospital: Hospital) -> pd.DataFrame:
    """Write the scan table: who was scanned when, for which role.

    Args:
        hospital: Its patients, scanner and seed.
    """
    rng = np.random.default_rng([hospital.seed, 7])
    rows: list[dict] = []
    number = 0
    for role in ROLES:
        admitted = hospital.patients.get(role, Patients())
        paired, single = admitted.scanned_pre_and_post, admitted.scanned_pre_only
        for timepoints in [("pre", "post")] * paired + [("pre",)] * single:
            number += 1
            rows += _scans_of_patient(hospital, number, role, timepoints, rng)
    return pd.DataFrame(rows)


def _scans_of_patient(
    hospital: Hospital,
    number: int,
    role: str,
    timepoints: tuple[str, ...],
    rng: np.random.Generator,
) -> list[dict]:
    patient_id = f"{hospital.prefix}{number:03d}"
    sex, age = ("F", "M")[int(rng.random() < 0.6)], int(rng.normal(62, 10))
    day = _FIRST_DAY + datetime.timedelta(days=int(rng.integers(0, 5 * 365)))
    scans = []
    for timepoint in timepoints:
        if timepoint == "post":
            day += datetime.timedelta(weeks=_WEEKS_OF_THERAPY)
        lesions = _patient(hospital, number, timepoint).lesions
        scans.append(
            {
                "scan_id": f"{patient_id}_{timepoint}",
                "patient_id": patient_id,
                "timepoint": timepoint,
                "role": role,
                "acquired_on": day.isoformat(),
                "sex": sex,
                "age_years": age,
                "n_crlm": len(lesions),
                "largest_crlm_diameter_mm": round(lesions[0].diameter_mm, 1),
            }
        )
    return scans


def scan_patients(scan_table: pd.DataFrame, hospital: Hospital) -> tuple[dict, dict, dict]:
    """Scan every patient, outline the organs, and let three readers outline the metastases.

    Args:
        scan_table: From `admit_patients`.
        hospital: Its patients, scanner, readers and seed.

    Returns:
        Recipes of CT scans and of organ masks (TotalSegmentator's class ids) by scan id, and for
        the outlined scans recipes that make a mask per reader.
    """
    scans: dict[str, Callable[[], sitk.Image]] = {}
    organs: dict[str, Callable[[], sitk.Image]] = {}
    masks: dict[str, Callable[[], dict[str, sitk.Image]]] = {}
    for scan_id, role in zip(scan_table["scan_id"], scan_table["role"], strict=True):
        scans[scan_id] = partial(_scan, hospital, scan_id)
        organs[scan_id] = partial(_organs, hospital, scan_id)
        if role != "unlabelled":
            masks[scan_id] = partial(_masks, hospital, scan_id)
    return scans, organs, masks


@recipe("phantom_scan", body=BODY)
def _scan(hospital: Hospital, scan_id: str) -> sitk.Image:
    return _phantom(hospital, scan_id).scan


@recipe("phantom_organ_mask", body=BODY, structures=STRUCTURE_IDS)
def _organs(hospital: Hospital, scan_id: str) -> sitk.Image:
    phantom = _phantom(hospital, scan_id)
    return phantom.image(phantom.organs)


@recipe("phantom_reader_masks", body=BODY)
def _masks(hospital: Hospital, scan_id: str) -> dict[str, sitk.Image]:
    phantom, seed = _phantom(hospital, scan_id), _scan_seed(hospital, scan_id)
    return {
        name: phantom.image(read(phantom, reader, seed=10 * seed + index))
        for index, (name, reader) in enumerate(sorted(hospital.readers.items()))
    }


def _phantom(hospital: Hospital, scan_id: str) -> Phantom:
    number, timepoint = int(scan_id[3:6]), scan_id.split("_")[1]
    patient = _patient(hospital, number, timepoint)
    return sample(patient, hospital.scanner, noise_seed=_scan_seed(hospital, scan_id))


def _patient(hospital: Hospital, number: int, timepoint: str) -> Patient:
    return draw_patient(1000 * hospital.seed + number, timepoint, hospital.metastases)


def _scan_seed(hospital: Hospital, scan_id: str) -> int:
    number, timepoint = int(scan_id[3:6]), scan_id.split("_")[1]
    return 2 * (1000 * hospital.seed + number) + int(timepoint == "post")
