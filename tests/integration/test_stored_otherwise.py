"""The same scan gives the same label map, however it is stored: what stock nnU-Net makes of it."""

import json

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import save, slices_of
from storage import ORDERS_AND_FLIPS, stored
from tiny_cascade import make_cascade

from coala_kedro.anatomy import CRLM
from coala_kedro.datasets import LazyVolume, TrainedModelDataset
from coala_kedro.imaging.geometry import grid_differences, oriented, volume_ml_per_voxel
from coala_kedro.imaging.label_map import crlm_mask
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.models.prediction import predict_scan
from coala_kedro.nnunet.planning import plans_of, prepare
from coala_kedro.nnunet.process import in_own_process
from coala_kedro.nnunet.protocol import Planning
from coala_kedro.nnunet.training_set import Case, TrainingSet
from coala_kedro.nnunet.workspace import CONFIGURATIONS, preprocessed_dataset
from coala_kedro.sources import SourceVolume

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stored")]

COMPUTE = Compute(device="cpu", torch_threads=1, augmentation_workers=0, pool="threads", warm=True)
INFERENCE = Inference(mirroring=False)
TILT = sitk.VersorTransform((0.2, -0.1, 0.9), 0.15).GetMatrix()
TYPES = (sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkInt32, sitk.sitkFloat64)
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


@pytest.fixture(scope="module")
def scan():
    """A tilted scan of smooth noise in LPS."""
    hu = np.random.default_rng(0).normal(0, 2000, (20, 24, 26))
    made = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(hu), 2.0)
    made = sitk.Cast(sitk.Clamp(made, lowerBound=-1000, upperBound=1000), sitk.sitkInt16)
    made.SetSpacing((0.7, 0.7, 2.4))
    made.SetOrigin((-101.5, 55.25, 12.75))
    made.SetDirection(TILT)
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(make_cascade(tmp_path_factory.mktemp("model") / "cascade"))


def load(path):
    return TrainedModelDataset(path=str(path)).load()


def predict(model, read):
    return predict_scan(model, read, INFERENCE, COMPUTE)


def voxels(image):
    return sitk.GetArrayFromImage(image)


@pytest.fixture(scope="module")
def expected(model, scan, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    sitk.WriteImage(scan, str(path))
    made = predict(model, LazyVolume(str(path)))
    counts = np.bincount(voxels(made["label_maps"]).ravel(), minlength=CRLM + 1)
    assert counts[CRLM] > 100
    assert (counts > 100).sum() > 3
    assert {*np.unique(voxels(made["fold_votes"]))} == {0, 1, 2}
    return made


def assert_same(made, expected, read):
    for name, image in made.items():
        for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(image, what)() == getattr(read, what)()
        assert image.GetPixelID() == sitk.sitkUInt8
        np.testing.assert_array_equal(voxels(oriented(image)), voxels(expected[name]))
    ml = volume_ml_per_voxel(read)
    found, wanted = (crlm_mask(maps["label_maps"]).sum() * ml for maps in (made, expected))
    assert found == wanted


def test_the_label_map_is_the_same_in_all_orders_senses_types_and_files(
    model, scan, expected, tmp_path
):
    for n, (order, flips) in enumerate(ORDERS_AND_FLIPS):
        path = tmp_path / f"scan_{n}{SUFFIXES[n % len(SUFFIXES)]}"
        other = sitk.Cast(stored(scan, order, flips), TYPES[n // 4 % len(TYPES)])
        sitk.WriteImage(other, str(path), useCompression=n % 2 == 0)
        lazy = LazyVolume(str(path))
        assert_same(predict(model, lazy), expected, lazy())


@pytest.mark.parametrize("turn", [0, 7, 22, 41])
def test_the_label_map_is_the_same_from_dicom(model, scan, expected, turn, tmp_path):
    series = slices_of(stored(scan, *ORDERS_AND_FLIPS[turn]))
    save(series, tmp_path / "ct")
    source = SourceVolume(str(tmp_path / "ct"), "dicom_series")
    assert_same(predict(model, source), expected, source())


def predict_with_stock_nnunet(path, model_folder, out):
    """Both stages, each reading files with the model's own reader; runs in nnU-Net's process."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    earlier = None
    for stage in CONFIGURATIONS:
        predictor = nnUNetPredictor(
            use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False
        )
        predictor.initialize_from_trained_model_folder(
            str(load(model_folder).stage_folder(stage)), (0, 1)
        )
        (out / stage).mkdir(parents=True)
        predictor.predict_from_files_sequential(
            [[str(path)]], [str(out / stage / "scan")], folder_with_segs_from_prev_stage=earlier
        )
        earlier = str(out / stage)
    return sitk.ReadImage(str(out / stage / "scan.nii.gz"))


@pytest.mark.parametrize(
    ("reader", "lies", "orientation"),
    [("SimpleITKIO", "LPS", "LPS"), ("NibabelIOWithReorient", "LAS", "RAS")],
)
def test_a_model_sees_what_stock_nnunet_shows_it(scan, reader, lies, orientation, tmp_path):
    model = load(make_cascade(tmp_path / "model", reader))
    assert model.orientation == orientation
    path = tmp_path / "scan_0000.nii.gz"
    sitk.WriteImage(sitk.DICOMOrient(scan, lies), str(path))
    ours = predict(model, LazyVolume(str(path)))["label_maps"]
    stock = in_own_process(
        COMPUTE, True, predict_with_stock_nnunet, path, tmp_path / "model", tmp_path / "out"
    )
    np.testing.assert_array_equal(voxels(ours), voxels(stock))


def test_a_model_that_was_trained_on_las_files_sees_las(model, scan, expected, tmp_path):
    """The model's own word turns the scan: what it makes of LPS is seen as its mirror image."""
    las = load(make_cascade(tmp_path / "las", orientation="LAS"))
    mirrored = sitk.Flip(scan, (False, True, False))
    mirrored.CopyInformation(scan)
    files = {name: tmp_path / f"{name}.nii.gz" for name in ("scan", "mirrored")}
    for file, image in zip(files.values(), (scan, mirrored), strict=True):
        sitk.WriteImage(image, str(file))
    made = voxels(predict(las, LazyVolume(str(files["scan"])))["label_maps"])
    as_lies = voxels(predict(model, LazyVolume(str(files["mirrored"])))["label_maps"])
    np.testing.assert_array_equal(made, as_lies[:, ::-1])
    assert (made != voxels(expected["label_maps"])).any()


def write_cases(folder, turn):
    """Three cases of noise with a block of each structure, stored as `turn` says."""
    cases = {}
    for n in range(3):
        random = np.random.default_rng(n)
        labels = np.zeros((32, 48, 48), np.uint8)
        for label in range(1, CRLM + 1):
            z, y, x = random.integers(0, (24, 40, 40))
            labels[z : z + 8, y : y + 8, x : x + 8] = label
        hu = (random.normal(0, 20, labels.shape) + 40 * labels).astype(np.int16)
        files = []
        for name, array, pixels in (("scan", hu, TYPES[n]), ("labels", labels, sitk.sitkUInt8)):
            made = sitk.GetImageFromArray(array)
            made.SetSpacing((0.8, 0.8, 2.5))
            made.SetDirection(TILT)
            files.append(folder / name / f"case_{n}.nii.gz")
            files[-1].parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.Cast(turn(made, n), pixels), str(files[-1]))
        contents = ("scan", "labels")
        cases[f"case_{n}"] = Case(
            patient_id=f"p{n}",
            source="manual",
            scan=files[0],
            label_map=files[1],
            content=contents,
            former_content=contents,
        )
    return TrainingSet(cases=cases)


def test_nnunet_is_trained_on_the_same_voxels(tmp_path):
    planning = Planning(gpu_memory_target_gb=0.004, base_features=4, max_features=16)
    turns = {
        "alike": lambda image, n: image,
        "otherwise": lambda image, n: stored(image, *ORDERS_AND_FLIPS[13 * n + 5]),
    }
    folders = {}
    for name, turn in turns.items():
        training_set = write_cases(tmp_path / name, turn)
        folders[name] = tmp_path / f"{name}_prepared"
        prepare(folders[name], training_set=training_set, planning=planning, compute=COMPUTE)
    found = {
        name: {
            file.relative_to(preprocessed_dataset(folder)): file
            for file in preprocessed_dataset(folder).rglob("*.*")
        }
        for name, folder in folders.items()
    }
    assert found["alike"].keys() == found["otherwise"].keys()
    arrays = [file for file in found["alike"] if file.suffix == ".b2nd"]
    assert len(arrays) == 2 * 2 * 3  # data and label map, of both stages
    for file in arrays:
        one, other = (blosc2.open(str(files[file]), mode="r")[:] for files in found.values())
        np.testing.assert_array_equal(one, other, err_msg=str(file))
    one, other = (plans_of(folder) for folder in folders.values())
    assert one == other
    described = preprocessed_dataset(folders["otherwise"]) / "dataset.json"
    description = json.loads(described.read_text(encoding="utf-8"))
    assert description["orientation"] == "LPS"
    # Against these nnU-Net measures what its trainer predicts of the validation scans.
    for file in (f for f in found["alike"] if f.parent.name == "gt_segmentations"):
        one, other = (sitk.ReadImage(str(files[file])) for files in found.values())
        np.testing.assert_array_equal(voxels(one), voxels(other))
        assert grid_differences(other, one) == []
