"""The real phase tool, offline: weights made here, its own statistics and its own classifiers."""

import pickle
import sys
import tempfile
from importlib.resources import files
from typing import get_args

import numpy as np
import pytest
import SimpleITK as sitk
import totalsegmentator_weights
from own_processes import end_waiting
from test_totalsegmentator import Listener
from totalsegmentator_weights import BACKGROUND_HU, make_weights

from coala_kedro.organs import OrganSegmenterError, TotalSegmentator, adapters
from coala_kedro.organs.adapters import CROP_3MM_MODEL
from coala_kedro.organs.segmenter import PhaseName

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("organs")]

FEATURES = (  # what the classifiers were trained on, in this order; then four vessels of the neck
    *("liver", "pancreas", "urinary_bladder", "gallbladder", "heart", "aorta"),
    *("inferior_vena_cava", "portal_vein_and_splenic_vein", "iliac_vena_left"),
    *("iliac_vena_right", "iliac_artery_left", "iliac_artery_right", "pulmonary_vein"),
    *("brain", "colon", "small_bowel"),
)
CENTRES_MM = {  # xy
    "liver": (-50, -30),
    "aorta": (10, 40),
    "inferior_vena_cava": (-30, 40),
    "portal_vein_and_splenic_vein": (40, 0),
    "heart": (50, -40),
}
RADIUS_MM = {"liver": 35}
VOXEL_MM = 4.0
HU = {
    "arterial_late": (65, 330, 90, 110, 290),
    "portal_venous": (110, 150, 130, 190, 170),
}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A function that writes the 3 mm model with classes up to the brain's; offline."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(totalsegmentator_weights, "_LAST_CLASS", 90)
    models = {CROP_3MM_MODEL: totalsegmentator_weights._MODELS[CROP_3MM_MODEL]}
    monkeypatch.setattr(totalsegmentator_weights, "_MODELS", models)
    listener = Listener()
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, listener.url)
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    end_waiting()  # a process of another test knows nothing of all this

    def write(mean_hu):
        make_weights(tmp_path / "weights", mean_hu)
        return str(tmp_path / "weights")

    yield write
    end_waiting()
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
    assert listener.calls == 0


def phantom(mean_hu):
    """Cylinders along z of the given HU in fat."""
    size = (44, 36, 24)
    x, y = (VOXEL_MM * (np.arange(n) - (n - 1) / 2) for n in size[:2])
    slice_hu = np.full((size[1], size[0]), BACKGROUND_HU)
    for name, hu in mean_hu.items():
        x0, y0 = CENTRES_MM[name]
        radius = RADIUS_MM.get(name, 14)
        slice_hu[(x - x0) ** 2 + (y[:, None] - y0) ** 2 < radius**2] = hu
    scan = sitk.GetImageFromArray(np.tile(slice_hu, (size[2], 1, 1)).astype(np.int16))
    scan.SetSpacing([VOXEL_MM] * 3)
    return scan


def seconds_since_injection(mean_hu):
    name = "resources/contrast_phase_classifiers_2024_07_19.pkl"
    models = pickle.loads((files("totalsegmentator") / name).read_bytes())
    features = [mean_hu.get(name, 0.0) for name in FEATURES] + [0.0] * 4
    return np.mean([model.predict([features])[0] for model in models.values()])


@pytest.mark.filterwarnings("ignore:.*serialized model")
@pytest.mark.parametrize("name", HU)
def test_tells_the_phase_from_the_hu_of_the_organs(weights, name):
    mean_hu = dict(zip(CENTRES_MM, map(float, HU[name]), strict=True))
    expected_s = seconds_since_injection(mean_hu)
    assert {"arterial_late": 30, "portal_venous": 60}[name] <= expected_s < 90
    phase = TotalSegmentator("cpu", weights(mean_hu)).contrast_phase("crlm_007", phantom(mean_hu))
    assert phase.name == name
    assert phase.probability >= 0.7


def test_tells_nothing_without_a_liver(weights):
    aorta = {"aorta": 150.0}
    segmenter = TotalSegmentator("cpu", weights(aorta | {"liver": 300.0}))
    assert segmenter.contrast_phase("crlm_007", phantom(aorta)) is None


def test_a_scan_of_the_brain_names_the_models_it_wants(weights, monkeypatch):
    monkeypatch.setitem(CENTRES_MM, "brain", (0, -40))
    mean_hu = {"liver": 60.0, "brain": 30.0}
    with pytest.raises(OrganSegmenterError, match=r"Scan crlm_007.*shows the brain") as error:
        TotalSegmentator("cpu", weights(mean_hu)).contrast_phase("crlm_007", phantom(mean_hu))
    assert "-t headneck_bones_vessels` and `totalseg_download_weights -t total`" in str(error.value)


@pytest.fixture
def phase_tool(monkeypatch):
    from totalsegmentator.bin import totalseg_get_phase

    assert "totalsegmentator.nnunet" not in sys.modules  # it would have changed our nnU-Net
    monkeypatch.setattr(totalseg_get_phase, "totalsegmentator", None)  # put back after the test
    return totalseg_get_phase


@pytest.mark.filterwarnings("ignore:.*serialized model")
def test_the_head_is_segmented_on_the_device_that_was_asked_for(phase_tool, tmp_path, monkeypatch):
    nothing = {"volume": 0.0, "intensity": 0.0}
    neck = ("internal_carotid_artery", "internal_jugular_vein")
    found = dict.fromkeys(
        [*FEATURES, *(f"{n}_{s}" for n in neck for s in ("left", "right"))], nothing
    )
    found["liver"] = found["brain"] = {"volume": 1e5, "intensity": 60.0}
    calls = []

    def segment_scan(*_, **options):
        calls.append((options["task"], options["device"]))
        return None, found

    for folder in ("776_headneck_bones_vessels_492subj", "298_TotalSegmentator_total_6mm_1559subj"):
        (tmp_path / f"Dataset{folder}").mkdir()
    for name in ("TOTALSEG_WEIGHTS_PATH", "TOTALSEG_HOME_DIR", "nnUNet_compile"):
        monkeypatch.setenv(name, "put back after the test")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # likewise
    monkeypatch.setattr(adapters, "_totalsegmentator", lambda: segment_scan)
    result = adapters.contrast_phase(tmp_path, phantom({}), str(tmp_path), "cpu")
    assert calls == [("total", "cpu"), ("headneck_bones_vessels", "cpu")]
    assert result["phase"] in get_args(PhaseName)
