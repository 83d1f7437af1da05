import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from pydantic import ValidationError

from coala_kedro.cohort import CohortError
from coala_kedro.datasets import VolumeFolderDataset
from coala_kedro.pipelines.preprocessing.nodes import screen_scans
from coala_kedro.pipelines.preprocessing.screening import Screening

READERS = ("reader_1", "reader_2")


class Cohort:
    """A cohort in the raw layout: three outlined scans and one that is not."""

    def __init__(self, root):
        self.root = root
        self.table = pd.DataFrame(
            [
                ("a_post", "a", "post", "manual", "2020-05-01"),
                ("a_pre", "a", "pre", "manual", "2020-02-01"),
                ("b_pre", "b", "pre", "test", "2020-03-01"),
                ("c_pre", "c", "pre", "unlabelled", "2020-04-01"),
            ],
            columns=["scan_id", "patient_id", "timepoint", "role", "acquired_on"],
        )
        for folder in ("scans", *(f"readers/{reader}" for reader in READERS)):
            (root / folder).mkdir(parents=True)
        noise = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6), np.int16)
        for scan_id in self.table["scan_id"]:
            self.write_scan(scan_id, noise)
        for scan_id in ("a_post", "a_pre", "b_pre"):
            for reader in READERS:
                self.write_mask(reader, scan_id, (noise > 0).astype(np.uint8))

    def scan(self, scan_id):
        return self.root / "scans" / f"{scan_id}.nii.gz"

    def mask(self, reader, scan_id):
        return self.root / "readers" / reader / f"{scan_id}.nii.gz"

    def write_scan(self, scan_id, voxels):
        write(voxels, self.scan(scan_id))

    def write_mask(self, reader, scan_id, voxels, spacing=(0.7, 0.7, 5.0)):
        write(voxels, self.mask(reader, scan_id), spacing)

    def screen(self, **screening):
        return screen_scans(
            self.table,
            VolumeFolderDataset(path=str(self.root / "scans"), raw=True).load(),
            VolumeFolderDataset(path=str(self.root / "readers"), raw=True).load(),
            "internal",
            Screening(**screening),
        )

    def faults(self, **screening):
        with pytest.raises(CohortError) as raised:
            self.screen(**screening)
        title, *faults = str(raised.value).splitlines()
        assert "'internal'" in title
        return faults


def write(voxels, path, spacing=(0.7, 0.7, 5.0)):
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def cohort(tmp_path):
    return Cohort(tmp_path)


def test_a_sound_cohort_is_accepted_as_it_is(cohort):
    pd.testing.assert_frame_equal(cohort.screen(), cohort.table)


def test_a_fault_of_the_table_is_told_before_any_file_is_read(cohort):
    cohort.table.loc[0, "role"] = "train"
    truncate(cohort.scan("a_pre"))
    (fault,) = cohort.faults()
    assert "scan 'a_post', column 'role': 'train' must be one of" in fault


def test_a_scan_without_a_file_is_named(cohort):
    cohort.scan("c_pre").unlink()
    assert cohort.faults() == [
        "- scan 'c_pre' is in the table but has no file: add it or drop the row."
    ]


@pytest.mark.parametrize("folder", ["scans", "readers/reader_1"])
def test_a_file_without_a_row_is_named(cohort, folder):
    write(np.zeros((4, 5, 6), np.int16), cohort.root / folder / "stray.nii.gz")
    assert cohort.faults() == [
        "- scan 'stray' has files but no row in scans.csv: add one or move the files away."
    ]


@pytest.mark.parametrize(("scan_id", "role"), [("a_pre", "manual"), ("b_pre", "test")])
def test_an_outlined_scan_without_a_mask_is_named(cohort, scan_id, role):
    for reader in READERS:
        cohort.mask(reader, scan_id).unlink()
    assert cohort.faults() == [
        f"- scan '{scan_id}' has the role '{role}' but no reader's mask: add masks or make its "
        "role 'unlabelled'."
    ]


def test_not_every_reader_must_have_outlined_every_scan(cohort):
    cohort.mask("reader_2", "a_pre").unlink()
    assert len(cohort.screen()) == 4


def test_a_reader_on_another_grid_is_named_with_both_grids(cohort):
    cohort.write_mask("reader_2", "a_pre", np.ones((4, 5, 7), np.uint8), spacing=(0.7, 0.7, 3.0))
    assert cohort.faults() == [
        "- scan 'a_pre', mask of 'reader_2': it is not on the scan's grid (size (7, 5, 4) instead "
        "of (6, 5, 4) voxels; spacing (0.7, 0.7, 3) instead of (0.7, 0.7, 5) mm): export it on "
        "that grid."
    ]


def test_a_mask_that_is_no_mask_is_named(cohort):
    cohort.write_mask("reader_1", "a_pre", np.full((4, 5, 6), 0.5, np.float32))
    (fault,) = cohort.faults()
    assert fault.startswith("- scan 'a_pre', mask of 'reader_1': it holds 0.5, which is no label")


def test_an_empty_mask_is_refused_unless_readers_may_see_nothing(cohort):
    cohort.write_mask("reader_2", "a_pre", np.zeros((4, 5, 6), np.uint8))
    assert cohort.faults() == [
        "- scan 'a_pre', mask of 'reader_2': it is empty: outline the scan, or set "
        "screening.empty_reader_mask to 'accept' if readers may see no lesion."
    ]
    assert len(cohort.screen(empty_reader_mask="accept")) == 4


def test_accepting_empty_masks_accepts_nothing_else(cohort):
    cohort.write_mask("reader_2", "a_pre", np.full((4, 5, 6), -1, np.int16))
    (fault,) = cohort.faults(empty_reader_mask="accept")
    assert "it holds -1, which is no label" in fault


def test_a_truncated_scan_is_named_with_its_file(cohort):
    truncate(cohort.scan("c_pre"))
    (fault,) = cohort.faults()
    assert fault.startswith(f"- scan 'c_pre': {cohort.scan('c_pre')} is truncated or damaged")
    assert fault.endswith(": copy or export it anew.")


def test_a_truncated_mask_is_named_with_its_reader_and_file(cohort):
    path = cohort.mask("reader_1", "b_pre")
    truncate(path)
    (fault,) = cohort.faults()
    assert fault.startswith(f"- scan 'b_pre', mask of 'reader_1': {path} is truncated or damaged")
    assert fault.endswith(": copy or export it anew.")


def test_a_file_that_is_no_volume_is_named(cohort):
    cohort.scan("c_pre").write_text("not a volume")
    (fault,) = cohort.faults()
    assert f"scan 'c_pre': {cohort.scan('c_pre')}" in fault


def test_voxels_that_are_no_number_are_counted(cohort):
    voxels = np.zeros((4, 5, 6), np.float32)
    voxels[0, 0, :2], voxels[1, 1, 1] = np.nan, np.inf
    cohort.write_scan("c_pre", voxels)
    assert cohort.faults() == [
        f"- scan 'c_pre': {cohort.scan('c_pre')} holds 3 voxels that are NaN or infinite: copy or "
        "export it anew."
    ]


def test_a_series_of_volumes_is_no_scan(cohort):
    image = sitk.JoinSeries([sitk.Image(6, 5, 4, sitk.sitkInt16)] * 2)
    sitk.WriteImage(image, str(cohort.scan("c_pre")))
    assert cohort.faults() == [
        "- scan 'c_pre': it has 4 dimensions and 1 values a voxel, not 3 and 1: export a single "
        "CT volume."
    ]


def spoil_everything(cohort):
    """Six faults, on every scan and among the files."""
    truncate(cohort.scan("a_post"))
    cohort.write_mask("reader_1", "a_pre", np.zeros((4, 5, 6), np.uint8))
    cohort.write_mask("reader_2", "a_pre", np.ones((4, 5, 9), np.uint8))
    cohort.write_scan("b_pre", np.full((4, 5, 6), np.nan, np.float32))
    cohort.scan("c_pre").unlink()
    write(np.zeros((4, 5, 6), np.int16), cohort.scan("stray"))


def test_all_faults_are_told_at_once(cohort):
    spoil_everything(cohort)
    faults = cohort.faults()
    assert len(faults) == 6
    for beginning in (
        "- scan 'a_post': ",
        "- scan 'a_pre', mask of 'reader_1': it is empty",
        "- scan 'a_pre', mask of 'reader_2': it is not on the scan's grid",
        f"- scan 'b_pre': {cohort.scan('b_pre')} holds 120 voxels that are NaN",
        "- scan 'c_pre' is in the table",
        "- scan 'stray' has files",
    ):
        assert sum(fault.startswith(beginning) for fault in faults) == 1


def test_two_jobs_find_what_one_finds(cohort):
    pd.testing.assert_frame_equal(cohort.screen(n_jobs=2), cohort.screen(n_jobs=1))
    spoil_everything(cohort)
    assert cohort.faults(n_jobs=2) == cohort.faults(n_jobs=1)


def test_masks_of_a_scan_that_needs_none_are_not_screened(cohort):
    cohort.write_mask("reader_1", "c_pre", np.ones((1, 1, 1), np.uint8))
    assert len(cohort.screen()) == 4


@pytest.mark.parametrize("options", [{"empty_reader_mask": "keep"}, {"n_jobs": 0}, {"njobs": 1}])
def test_an_option_that_does_not_exist_is_refused(options):
    with pytest.raises(ValidationError):
        Screening(**options)
