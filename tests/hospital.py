"""A hospital of three scans as files, to be spoilt by tests."""

from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from dicom_writer import write_seg, write_series

from coala_kedro.datasets import HospitalVolumesDataset
from coala_kedro.organs import ExistingMasks
from coala_kedro.pipelines.preprocessing import intake, nodes, reader_consensus
from coala_kedro.pipelines.preprocessing.checks import Screening

READERS = ("reader_1", "reader_2")
SIZE_ZYX, SPACING_MM = (13, 108, 108), (2.0, 2.0, 5.0)
LIVER, SPLEEN, STOMACH = 5, 1, 6
COLUMNS = ["scan_id", "patient_id", "timepoint", "role", "acquired_on"]
ROWS = [
    ("a_post", "a", "post", "manual", "2020-05-01"),
    ("a_pre", "a", "pre", "manual", "2020-02-01"),
    ("b_pre", "b", "pre", "test", "2020-03-01"),
]


def abdomen(seed):
    """CT in HU, organ mask and CRLM mask, as arrays (z, y, x); LPS, so that x grows to the left."""
    _, y, x = np.indices(SIZE_ZYX)
    body = (x - 54) ** 2 / 50**2 + (y - 54) ** 2 / 40**2 < 1
    organs = np.zeros(SIZE_ZYX, np.uint8)
    organs[2:11, 35:75, 12:52] = LIVER
    organs[2:11, 60:80, 80:95] = SPLEEN
    organs[3:11, 30:50, 65:90] = STOMACH
    crlm = np.zeros(SIZE_ZYX, np.uint8)
    crlm[5:8, 45:55, 25:35] = 1
    noise = np.random.default_rng(seed).integers(-15, 15, SIZE_ZYX)
    hu = np.where(body, 50 + 50 * (organs > 0) - 40 * crlm + noise, -1000)
    return hu.astype(np.int16), organs, crlm


def image(voxels, spacing_mm=SPACING_MM, origin_mm=(0, 0, 0)):
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing(spacing_mm)
    made.SetOrigin(origin_mm)
    return made


def write(made, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(made, str(path), useCompression=True, compressionLevel=1)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_pacs(root):
    """Folders of patients and days; a segmentation for each reader."""
    for patient, day in (("4711", "2020-02-01"), ("4711", "2020-05-02"), ("4712", "2020-02-01")):
        hu, _, crlm = abdomen(int(patient))
        study = root / patient / f"{day}_abdomen"
        told = {"PatientID": patient, "StudyDate": day.replace("-", "")}
        series = write_series(image(hu), study / "CT", series=patient + day, **told)
        for reader in ("ann", "bob"):
            write_seg({"CRLM": crlm}, series, study / f"SEG_{reader}" / "1.dcm")
    return root


class Hospital:
    """Raw layout: `scans/`, `readers/<reader>/`, `organs/`, and a scan table."""

    def __init__(self, root: Path):
        self.root = root
        self.table = pd.DataFrame(ROWS, columns=COLUMNS)
        self.scan_entry = {"path": str(root / "scans")}
        self.mask_entry = {"path": str(root / "readers"), "pattern": "{reader}/{scan_id}.nii.gz"}
        self.organ_entry = {"path": str(root / "organs")}
        self.anatomy = {}

    def build(self):
        for seed, scan_id in enumerate(self.table["scan_id"]):
            hu, organs, crlm = abdomen(seed)
            write(image(hu), self.scan(scan_id))
            write(image(organs), self.organs(scan_id))
            for reader in READERS:
                write(image(crlm), self.mask(reader, scan_id))
        return self

    def scan(self, scan_id):
        return self.root / "scans" / f"{scan_id}.nii.gz"

    def organs(self, scan_id):
        return self.root / "organs" / f"{scan_id}.nii.gz"

    def mask(self, reader, scan_id):
        return self.root / "readers" / reader / f"{scan_id}.nii.gz"

    def read(self, path):
        return sitk.ReadImage(str(path))

    @property
    def raw_scans(self):
        return HospitalVolumesDataset(**self.scan_entry).load()

    @property
    def raw_masks(self):
        return HospitalVolumesDataset(**self.mask_entry).load()

    @property
    def segmenter(self):
        return ExistingMasks(**self.organ_entry)

    def inspected(self):
        return self._made(
            intake.inspect_scans(
                self.table, self.raw_scans, self.raw_masks, self.segmenter, "internal"
            )
        )

    def accept(self, *trained_on, **screening):
        """Usable scans and findings of the files."""
        return intake.accept_scans(
            self.table,
            self.raw_scans,
            self.raw_masks,
            self.inspected(),
            "internal",
            Screening(**screening),
            *trained_on,
        )

    def screen(self, *trained_on, **screening):
        """Accepted scans and all findings, as preprocessing tells them."""
        usable, findings = self.accept(*trained_on, **screening)
        scans, masks = self.imported(usable)
        method = reader_consensus.ConsensusMethod(method="majority_vote")
        lazy = _lazy(masks)
        estimates = self._made(reader_consensus.estimate_consensus(usable, lazy, method))
        consensus = self._made(reader_consensus.merge_readers(usable, lazy, estimates, method))
        organs = self._made(nodes.segment_organs(usable, _lazy(scans), self.segmenter))
        anatomy = nodes.inspect_lesions(
            usable,
            _lazy(scans),
            _lazy(consensus),
            _lazy(organs),
            self.segmenter,
            Screening(**screening),
        )
        return nodes.accept_anatomy(
            usable, findings, self._made(anatomy), "internal", Screening(**screening)
        )

    def imported(self, usable):
        """Scans by id and masks by `<reader>/<scan_id>`, as the study uses them."""
        made = self._made(intake.import_scans(usable, self.raw_scans))
        scans = {scan_id: _as_image(scan) for scan_id, scan in made.items()}
        made = self._made(intake.import_masks(usable, _lazy(scans), self.raw_masks))
        masks = {
            f"{reader}/{scan_id}": _as_image(mask)
            for scan_id, masks in made.items()
            for reader, mask in masks.items()
        }
        return scans, masks

    def _made(self, recipes):
        return {scan_id: recipe() for scan_id, recipe in recipes.items()}


def _as_image(made):
    return sitk.ReadImage(str(made)) if isinstance(made, Path) else made


class _Held:
    """What `LazyVolume` is to a file, to an image."""

    def __init__(self, held):
        self._held = held

    def __call__(self):
        return self._held

    def grid(self):
        return self._held


def _lazy(images):
    return {key: _Held(held) for key, held in images.items()}
