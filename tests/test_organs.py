import gzip
import pickle
from pathlib import Path

import fake_totalsegmentator as fake
import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DataCatalog, DatasetError

from coala_kedro.organs import (
    ExistingMasks,
    OrganMaskError,
    OrganSegmenterDataset,
    OrganSegmenterError,
    TotalSegmentator,
)
from coala_kedro.organs.adapters import MODEL_FILES, MODEL_FOLDERS
from coala_kedro.organs.segmenter import CLASS_IDS

LIVER, SPLEEN, AORTA = 5, 1, 52
TYPE = "coala_kedro.organs.OrganSegmenterDataset"


def image(array, spacing=(0.7, 0.8, 2.5), origin=(-101.3, 55.1, 12.7)):
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    return made


@pytest.fixture
def labels():
    array = np.zeros((6, 8, 10), np.int16)
    array[1:4, 2:6, 3:8] = LIVER
    array[4, 2, 3] = SPLEEN
    array[5, 7, 9] = AORTA
    return array


@pytest.fixture
def scan(labels):
    return image(np.full(labels.shape, -100, np.int16))


@pytest.fixture
def masks(tmp_path):
    return ExistingMasks(path=str(tmp_path))


def write(masks, mask):
    sitk.WriteImage(mask, str(Path(masks.path) / "crlm_007.nii.gz"))


class TestExistingMasks:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
    def test_keeps_the_organs_and_the_grid(self, masks, scan, labels, dtype):
        write(masks, image(labels.astype(dtype)))
        mask = masks.segment("crlm_007", scan)
        assert mask.GetPixelID() == sitk.sitkUInt8
        assert np.array_equal(sitk.GetArrayFromImage(mask), np.where(labels == AORTA, 0, labels))
        for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(mask, what)() == getattr(scan, what)()

    def test_drops_ids_beyond_a_byte(self, masks, scan, labels):
        labels[0] = 256 + SPLEEN
        write(masks, image(labels))
        assert not sitk.GetArrayFromImage(masks.segment("crlm_007", scan))[0].any()

    def test_absent(self, masks, scan, tmp_path):
        with pytest.raises(OrganSegmenterError, match=r"crlm_007.*No file below"):
            masks.segment("crlm_007", scan)
        (tmp_path / "crlm_008.nii.gz").touch()
        with pytest.raises(OrganMaskError, match="Scan crlm_007 has no organ mask") as error:
            ExistingMasks(path=str(tmp_path)).check("crlm_007", scan)
        assert error.value.code == "organ_mask_absent"
        assert str(tmp_path / "crlm_007.nii.gz") in str(error.value)
        assert "segmenter: totalsegmentator" in str(error.value)

    @pytest.mark.parametrize(
        ("grid", "fault"),
        [
            ({"spacing": (0.7, 0.8, 2.0)}, "spacing"),
            ({"origin": (-101.3, 55.1, 12.8)}, "origin"),
        ],
    )
    def test_other_grid(self, masks, scan, labels, grid, fault):
        write(masks, image(labels, **grid))
        with pytest.raises(OrganSegmenterError, match=f"crlm_007.*{fault}"):
            masks.segment("crlm_007", scan)

    def test_a_part_of_the_scan_is_put_where_it_belongs(self, masks, scan, labels):
        write(masks, sitk.Flip(image(labels)[:, :, :-1], (True, False, False)))
        organs = sitk.GetArrayFromImage(masks.segment("crlm_007", scan))
        assert np.array_equal(organs, np.where(labels == AORTA, 0, labels))

    def test_another_grid_if_it_is_allowed(self, tmp_path, scan, labels):
        masks = ExistingMasks(path=str(tmp_path), resample="nearest")
        write(masks, sitk.Expand(image(labels), (2, 2, 2), sitk.sitkNearestNeighbor))
        organs = sitk.GetArrayFromImage(masks.segment("crlm_007", scan))
        assert np.array_equal(organs, np.where(labels == AORTA, 0, labels))

    def test_values_of_its_own(self, tmp_path, scan, labels):
        masks = ExistingMasks(path=str(tmp_path), values={"liver": [LIVER, AORTA], "colon": SPLEEN})
        write(masks, image(labels))
        organs = sitk.GetArrayFromImage(masks.segment("crlm_007", scan))
        own = {LIVER: LIVER, AORTA: LIVER, SPLEEN: CLASS_IDS["colon"], 0: 0}
        assert np.array_equal(organs, np.vectorize(own.get)(labels))

    def test_a_file_per_organ(self, tmp_path, scan, labels):
        masks = ExistingMasks(path=str(tmp_path), pattern="{scan_id}/{organ}.nii.gz")
        (tmp_path / "crlm_007").mkdir()
        for organ, value in (("liver", LIVER), ("spleen", SPLEEN), ("aorta", AORTA)):
            mask = image((labels == value).astype(np.uint8))
            sitk.WriteImage(mask, str(tmp_path / "crlm_007" / f"{organ}.nii.gz"))
        organs = sitk.GetArrayFromImage(masks.segment("crlm_007", scan))
        assert np.array_equal(organs, np.where(labels == AORTA, 0, labels))

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"values": {"kidney": 1}}, "no organ kidney"),
            ({"values": {"liver": 1, "spleen": 1}}, "each for one organ"),
            ({"values": {"liver": 0}}, "from 1 up"),
            ({"values": {"liver": 1}, "pattern": "{scan_id}/{organ}.nii.gz"}, "mask per organ"),
            ({"values": 2}, "go by organ"),
            ({"pattern": "organs.nii.gz"}, "must have {scan_id}"),
            ({"format": "dicom_seg"}, "segments"),
            ({"resample": "linear"}, "can be 'nearest'"),
        ],
    )
    def test_options_that_cannot_be(self, tmp_path, options, told):
        with pytest.raises(OrganSegmenterError, match=told):
            ExistingMasks(path=str(tmp_path), **options)

    def test_interpolated_values(self, masks, scan, labels):
        write(masks, image(labels * np.float32(0.5)))
        with pytest.raises(OrganSegmenterError, match=r"crlm_007.*2\.5"):
            masks.segment("crlm_007", scan)

    def test_truncated_file_is_not_read_as_zeros(self, masks, scan, labels):
        noise = np.random.default_rng(0).integers(0, 2, labels.shape)
        write(masks, image((noise + 4).astype(np.uint8)))
        path = Path(masks.path) / "crlm_007.nii.gz"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(OrganSegmenterError, match=r"crlm_007.*is truncated or damaged"):
            masks.segment("crlm_007", scan)

    def test_file_that_is_no_image(self, masks, scan):
        with gzip.open(Path(masks.path) / "crlm_007.nii.gz", "wb") as file:
            file.write(b"not an image")
        with pytest.raises(OrganSegmenterError, match=r"crlm_007.*cannot be read"):
            masks.segment("crlm_007", scan)

    def test_fingerprint_follows_the_content_and_not_the_place(self, tmp_path, labels):
        masks = {}
        for name, array in (("a", labels), ("b", labels), ("c", labels * 0)):
            (tmp_path / name).mkdir()
            masks[name] = ExistingMasks(path=str(tmp_path / name))
            write(masks[name], image(array))
        prints = {name: mask.fingerprint_for("crlm_007") for name, mask in masks.items()}
        assert prints["a"] == prints["b"] != prints["c"]
        with pytest.raises(OrganSegmenterError, match="crlm_008"):
            masks["a"].fingerprint_for("crlm_008")


class TestTotalSegmentator:
    @pytest.mark.parametrize(
        ("options", "needed"),
        [({}, (291, 298)), ({"robust_crop": True}, (291, 297)), ({"fast": True}, (297,))],
    )
    def test_absent_weights(self, tmp_path, scan, monkeypatch, options, needed):
        monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path))
        with pytest.raises(OrganSegmenterError) as error:
            TotalSegmentator(**options).segment("crlm_007", scan)
        message = str(error.value)
        assert f"{tmp_path} (TOTALSEG_WEIGHTS_PATH)" in message
        assert {m for m in MODEL_FOLDERS if MODEL_FOLDERS[m] in message} == set(needed)
        assert ("totalseg_download_weights -t total`" in message) == (291 in needed)
        assert ("totalseg_download_weights -t total_fast`" in message) == (297 in needed)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.xdist_group("torch")
    @pytest.mark.parametrize("missing", MODEL_FILES)
    def test_half_unzipped_weights(self, tmp_path, missing):
        fake.write_weights(tmp_path)
        segmenter = TotalSegmentator(weights_path=str(tmp_path))
        assert segmenter.find_weights(291, 298) == tmp_path
        (tmp_path / MODEL_FOLDERS[291] / missing).unlink()
        with pytest.raises(OrganSegmenterError, match=f"incomplete, without {missing}") as error:
            segmenter.find_weights(291, 298)
        assert MODEL_FOLDERS[298] not in str(error.value)

    @pytest.mark.xdist_group("torch")
    def test_weights_are_looked_for_where_totalsegmentator_looks(self, tmp_path, monkeypatch):
        monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
        monkeypatch.delenv("TOTALSEG_HOME_DIR", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        places = [tmp_path / "home/.totalsegmentator/nnunet/results"]
        for variable, below in (("HOME_DIR", "nnunet/results"), ("WEIGHTS_PATH", "")):
            places.append(tmp_path / variable / below)
            fake.write_weights(places[-1])
        fake.write_weights(places[0])
        found = [TotalSegmentator().find_weights(291)]
        for variable in ("HOME_DIR", "WEIGHTS_PATH"):
            monkeypatch.setenv(f"TOTALSEG_{variable}", str(tmp_path / variable))
            found.append(TotalSegmentator().find_weights(291))
        assert found == places

    def test_fingerprint_knows_the_models_and_no_place(self):
        plain = TotalSegmentator(device="cpu", weights_path="/a").fingerprint
        assert plain == TotalSegmentator(device="gpu:1", weights_path="/b").fingerprint
        assert plain == TotalSegmentator().fingerprint_for("crlm_007")
        assert (
            len(
                {
                    plain,
                    TotalSegmentator(fast=True).fingerprint,
                    TotalSegmentator(robust_crop=True).fingerprint,
                }
            )
            == 3
        )

    @pytest.mark.xdist_group("torch")
    def test_refuses_four_dimensions(self, tmp_path):
        fake.write_weights(tmp_path)
        phases = sitk.JoinSeries([sitk.Image(4, 4, 4, sitk.sitkInt16)] * 2)
        with pytest.raises(OrganSegmenterError, match="crlm_007 has 4 dimensions"):
            TotalSegmentator(weights_path=str(tmp_path)).segment("crlm_007", phases)


class TestOrganSegmenterDataset:
    def test_catalog_entries(self):
        catalog = DataCatalog.from_config(
            {
                "a": {"type": TYPE, "segmenter": "totalsegmentator", "device": "gpu:1"},
                "b": {"type": TYPE, "segmenter": "existing_masks", "path": "organs"},
            }
        )
        assert catalog.load("a") == TotalSegmentator(device="gpu:1")
        assert catalog.load("b") == ExistingMasks(path="organs")
        again = DataCatalog.from_config(catalog.to_config()[0])
        assert again.load("a") == TotalSegmentator(device="gpu:1")

    def test_the_former_name_of_values(self):
        values = {"liver": 1, "colon": [3, 4]}
        dataset = OrganSegmenterDataset(segmenter="existing_masks", path="organs", ids=values)
        assert dataset.load() == ExistingMasks(path="organs", values=values)
        # Results of studies that were fingerprinted with it stand.
        assert dataset.load().fingerprint == "existing masks 68c855188712a864"

    def test_shows_no_credentials(self):
        options = {"path": "s3://hospital", "credentials": {"key": "topsecret"}}
        dataset = OrganSegmenterDataset(segmenter="existing_masks", **options)
        assert "topsecret" not in f"{dataset} {dataset.load()}"

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_segmenters_can_be_pickled(self, name):
        segmenter = {"a": TotalSegmentator(fast=True), "b": ExistingMasks(path="x")}[name]
        assert pickle.loads(pickle.dumps(segmenter)) == segmenter

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"segmenter": "monai"}, "'monai'. Allowed: totalsegmentator, existing_masks"),
            (
                {"segmenter": "totalsegmentator", "gpu": 1},
                "no option gpu. Allowed: device, weights_path, fast, robust_crop",
            ),
            ({"segmenter": "existing_masks"}, "needs the option path"),
            ({"segmenter": "totalsegmentator", "device": "cuda"}, "Allowed: auto, cpu, gpu, gpu:0"),
            ({"segmenter": "totalsegmentator", "fast": True, "robust_crop": True}, "one of the"),
        ],
    )
    def test_faults_are_told_at_construction(self, options, message):
        with pytest.raises(DatasetError) as error:
            OrganSegmenterDataset(**options)
        assert message in str(error.value)

    def test_is_read_only(self):
        dataset = OrganSegmenterDataset(segmenter="existing_masks", path="organs")
        with pytest.raises(DatasetError, match="read-only"):
            dataset.save(ExistingMasks(path="organs"))
