import fsspec
import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DataCatalog, DatasetError

from coala_kedro.datasets import HospitalVolumesDataset
from coala_kedro.sources import SourceVolume

IMAGE = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))


@pytest.fixture
def hospital(tmp_path):
    """Scans in several formats, a reader's masks, and what a folder has besides."""
    for name in ("ct/s1.nii.gz", "ct/s2.nrrd", "ct/s3.mha", "ct/.s4.nii.gz", "ct/readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).touch()
        else:
            sitk.WriteImage(IMAGE, str(tmp_path / name))
    (tmp_path / "outlines" / "ann").mkdir(parents=True)
    sitk.WriteImage(IMAGE, str(tmp_path / "outlines" / "ann" / "s1.nrrd"))
    return tmp_path


def test_a_folder_of_scans(hospital):
    dataset = HospitalVolumesDataset(path=str(hospital / "ct"))
    assert dataset.exists()
    assert dataset.load() == {"s1": SourceVolume(str(hospital / "ct" / "s1.nii.gz"))}


@pytest.mark.parametrize(("pattern", "scan_id"), [("{scan_id}.nrrd", "s2"), ("{scan_id}.m*", "s3")])
def test_other_formats_are_read_alike(hospital, pattern, scan_id):
    volumes = HospitalVolumesDataset(path=str(hospital / "ct"), pattern=pattern).load()
    assert [*volumes] == [scan_id]
    assert sitk.Hash(volumes[scan_id]()) == sitk.Hash(IMAGE)


def test_masks_of_readers_that_may_be_resampled(hospital):
    dataset = HospitalVolumesDataset(
        path=str(hospital / "outlines"), pattern="{reader}/{scan_id}.nrrd", resample="nearest"
    )
    volumes = dataset.load()
    assert [*volumes] == ["ann/s1"]
    assert volumes["ann/s1"].resample


def test_segments_by_reader_of_one_file(tmp_path):
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "seg.dcm").touch()
    dataset = HospitalVolumesDataset(
        path=str(tmp_path),
        pattern="{scan_id}/*.dcm",
        format="dicom_seg",
        segments={"ann": "A tumou?r.*", "bob": "B tumou?r.*"},
    )
    assert {key: volume.segments for key, volume in dataset.load().items()} == {
        "ann/s1": "A tumou?r.*",
        "bob/s1": "B tumou?r.*",
    }


def test_a_catalog_makes_it_with_credentials_that_are_never_shown():
    fs = fsspec.filesystem("memory")
    fs.pipe("/bucket/ct/s1.nii.gz", b"")
    catalog = DataCatalog.from_config(
        {
            "internal.raw_scans": {
                "type": "coala_kedro.datasets.HospitalVolumesDataset",
                "path": "memory://bucket/ct",
                "credentials": "hospital_s3",
            }
        },
        {"hospital_s3": {"secret": "hunter2"}},
    )
    dataset = catalog.get("internal.raw_scans")
    assert [*dataset.load()] == ["s1"]
    assert "hunter2" not in f"{dataset} {dataset.load()}"
    fs.rm("/bucket", recursive=True)


def test_nothing_is_written(hospital):
    with pytest.raises(DatasetError, match="read-only"):
        HospitalVolumesDataset(path=str(hospital)).save({})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pattern": "*.nii.gz"}, "must have {scan_id}"),
        ({"format": "dicom"}, "no format 'dicom'"),
        ({"format": "dicom_seg"}, "segments"),
        ({"resample": "linear"}, "can be 'nearest'"),
        ({"path": "s4://bucket"}, "s4://bucket cannot be opened"),
        ({"path": "sftp://me:hunter2@server/ct"}, "credentials"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_before_the_run(hospital, options, told):
    with pytest.raises(DatasetError, match=told):
        HospitalVolumesDataset(**{"path": str(hospital)} | options)


def test_what_is_there_instead_is_told(hospital):
    dataset = HospitalVolumesDataset(path=str(hospital / "ct"), pattern="{scan_id}.dcm")
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"There are: \*\.mha \(1\), \*\.nii\.gz \(1\), "):
        dataset.load()
    with pytest.raises(DatasetError, match="no folder"):
        HospitalVolumesDataset(path=str(hospital / "mr")).load()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"series": {"phase": 0}}, "phase: .* greater than or equal to 1"),
        ({"series": {"name": "PV"}}, "name: Extra inputs are not permitted"),
        ({"series": {}}, "name at least one of number"),
        ({"tilt": "nearest"}, "`tilt` can be 'resample'"),
        ({"tilt": "resample", "format": "volume"}, "go with the format 'dicom_series'"),
        ({"series": {"number": 2}, "format": "volume"}, "go with the format 'dicom_series'"),
        ({"format": "rtstruct"}, "`segments` goes with the formats 'dicom_seg' and 'rtstruct'"),
    ],
)
def test_options_of_dicom_that_cannot_be_are_told(options, told):
    with pytest.raises(DatasetError, match=told):
        HospitalVolumesDataset(
            path="x", pattern="{scan_id}", **{"format": "dicom_series"} | options
        )


def test_how_a_series_is_read_decides_its_fingerprint(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").write_bytes(b"x")
    entry = {"path": str(tmp_path), "pattern": "{scan_id}", "format": "dicom_series"}
    options = [{}, {"tilt": "resample"}, {"series": {"phase": 1}}, {"series": {"phase": 2}}]
    prints = {HospitalVolumesDataset(**entry | o).load()["a"].fingerprint for o in options}
    assert len(prints) == len(options)
