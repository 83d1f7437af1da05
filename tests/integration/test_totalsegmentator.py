"""The real TotalSegmentator, offline, with weights made here: the class of the nearest mean HU."""

import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests
import SimpleITK as sitk
from own_processes import end_waiting
from storage import ORDERS_AND_FLIPS, stored
from totalsegmentator_weights import BACKGROUND_HU, make_weights

from coala_kedro.anatomy import ORGANS
from coala_kedro.imaging.geometry import oriented
from coala_kedro.organs import OrganSegmenterDataset, OrganSegmenterError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("organs")]

REAL_CT = Path(__file__).parents[3] / "shared/real_ct/upper_abdomen.nii.gz"
IDS = {s.name: s.totalsegmentator_id for s in ORGANS}
AIR_HU = -1000.0
MEAN_HU = {
    "liver": 60.0,
    "spleen": 120.0,
    "kidney_right": 220.0,
    "kidney_left": 290.0,
    "stomach": 0.0,
}
ELLIPSOIDS_MM = {  # centre and radii xyz, counted from the middle of the volume
    "liver": ((-45, -10, 10), (45, 40, 45)),
    "spleen": ((75, 20, 20), (22, 25, 30)),
    "kidney_right": ((-45, 55, -40), (25, 22, 32)),
    "kidney_left": ((45, 55, -30), (25, 22, 32)),
    "stomach": ((40, -35, 20), (30, 25, 30)),
}
SIZE, SPACING_MM = (64, 52, 46), (4.0, 4.0, 4.0)
C, S = np.cos(0.3), np.sin(0.3)
DIRECTIONS = {
    "identity": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "flipped": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "oblique": (1, 0, 0, 0, C, -S, 0, S, C),
    "coronal": (1, 0, 0, 0, 0, 1, 0, -1, 0),
}


class Listener:
    """A proxy that answers nothing and counts who calls."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.calls = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            connection, _ = self._socket.accept()
            self.calls += 1
            connection.close()


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """HOME, temporary folder and proxies of a process that must leave them alone."""
    with pytest.MonkeyPatch.context() as patch:
        home, temporary = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("tmp")
        listener = Listener()
        for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(variable, listener.url)
        for variable in ("no_proxy", "NO_PROXY", "TOTALSEG_HOME_DIR", "TOTALSEG_WEIGHTS_PATH"):
            patch.delenv(variable, raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("nnUNet_results", "/ours")
        patch.setattr(tempfile, "tempdir", str(temporary))
        end_waiting()  # a process of another test knows nothing of all this
        yield home, temporary, listener
        end_waiting()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    make_weights(folder, MEAN_HU)
    return folder


@pytest.fixture(scope="module")
def segmenter(surroundings, weights):
    return OrganSegmenterDataset(
        segmenter="totalsegmentator", device="cpu", weights_path=str(weights)
    ).load()


def phantom(direction):
    """A scan of the phantom and the outlines of its organs (zyx)."""
    axes_mm = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(SIZE, SPACING_MM, strict=True)]
    z, y, x = np.meshgrid(*reversed(axes_mm), indexing="ij")
    hu = np.where((x / 120) ** 2 + (y / 98) ** 2 < 1, BACKGROUND_HU, AIR_HU)
    truth = np.zeros(hu.shape, np.uint8)
    for name, (centre, radii) in ELLIPSOIDS_MM.items():
        inside = sum(
            ((axis - c) / r) ** 2 for axis, c, r in zip((x, y, z), centre, radii, strict=True)
        )
        hu[inside < 1] = MEAN_HU[name]
        truth[inside < 1] = IDS[name]
    hu += np.random.default_rng(0).normal(0, 4, hu.shape)
    scan = sitk.GetImageFromArray(hu.astype(np.int16))
    scan.SetSpacing(SPACING_MM)
    scan.SetOrigin((-120.5, 33.25, 1200.0))
    scan.SetDirection([float(cosine) for cosine in direction])
    return scan, truth


def assert_same_grid(mask, scan):
    for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(mask, what)() == getattr(scan, what)()
    assert mask.GetPixelID() == sitk.sitkUInt8


def dice(mask, truth, name):
    a, b = sitk.GetArrayFromImage(mask) == IDS[name], truth == IDS[name]
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_outlines_the_organs_on_the_scans_grid(segmenter, direction):
    scan, truth = phantom(DIRECTIONS[direction])
    mask = segmenter.segment("phantom", scan)
    assert_same_grid(mask, scan)
    scores = {name: round(float(dice(mask, truth, name)), 2) for name in MEAN_HU}
    assert min(scores.values()) > 0.85, scores


def test_outlines_the_same_organs_however_the_scan_is_stored(segmenter, tmp_path):
    """All axes along all others, both ways, tilted; in single precision, as NIfTI keeps them."""
    scan, _ = phantom(DIRECTIONS["oblique"])
    expected = segmenter.segment("phantom", scan)
    assert len(np.unique(sitk.GetArrayViewFromImage(expected))) > len(MEAN_HU)
    for n, (order, flips) in enumerate(ORDERS_AND_FLIPS[::5]):
        path = tmp_path / f"scan_{n}{('.nii.gz', '.nii', '.nrrd')[n % 3]}"
        pixels = (sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkInt32, sitk.sitkFloat64)[n % 4]
        sitk.WriteImage(sitk.Cast(stored(scan, order, flips), pixels), str(path))
        other = sitk.ReadImage(str(path))
        mask = segmenter.segment("phantom", other)
        assert_same_grid(mask, other)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(oriented(mask)), sitk.GetArrayFromImage(expected)
        )


@pytest.mark.parametrize("option", ["fast", "robust_crop"])
def test_other_models(surroundings, weights, option):
    options = {"device": "cpu", "weights_path": str(weights), option: True}
    segmenter = OrganSegmenterDataset(segmenter="totalsegmentator", **options).load()
    scan, truth = phantom(DIRECTIONS["flipped"])
    mask = segmenter.segment("phantom", scan)
    assert_same_grid(mask, scan)
    assert dice(mask, truth, "spleen") > 0.75


def test_leaves_its_surroundings_alone(surroundings, segmenter):
    home, temporary, listener = surroundings
    end_waiting()
    before = dict(os.environ)
    segmenter.segment("phantom", phantom(DIRECTIONS["identity"])[0])
    assert dict(os.environ) == before
    assert "totalsegmentator.nnunet" not in sys.modules  # it would have changed our nnU-Net
    assert not (home / ".totalsegmentator").exists()
    assert not list(temporary.rglob("*.nii*"))
    end_waiting()
    assert list(temporary.iterdir()) == []
    assert listener.calls == 0
    with pytest.raises(requests.ConnectionError):
        requests.post("https://stats.totalsegmentator.com:443/log_totalseg_run", timeout=5)
    deadline = time.monotonic() + 5
    while listener.calls == 0:  # the listener would have heard it
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_scan_without_a_liver(segmenter):
    air = sitk.Image(40, 40, 40, sitk.sitkInt16) - 1000
    air.SetSpacing(SPACING_MM)
    # Screening refuses it afterwards, with its reason.
    assert not sitk.GetArrayViewFromImage(segmenter.segment("crlm_007", air)).any()


@pytest.mark.skipif(not REAL_CT.exists(), reason=f"{REAL_CT} is absent")
def test_real_ct(segmenter):
    scan = sitk.ReadImage(str(REAL_CT))
    mask = segmenter.segment("upper_abdomen", scan)
    assert_same_grid(mask, scan)
    values = set(np.unique(sitk.GetArrayViewFromImage(mask)).tolist())
    assert IDS["liver"] in values
    assert values <= {0, *IDS.values()}


def test_absent_gpu_is_not_replaced_by_the_cpu(surroundings, weights):
    segmenter = OrganSegmenterDataset(
        segmenter="totalsegmentator", device="gpu:99", weights_path=str(weights)
    ).load()
    with pytest.raises(OrganSegmenterError, match=r"Scan crlm_007.*gpu:99.*device: auto"):
        segmenter.segment("crlm_007", phantom(DIRECTIONS["identity"])[0])


@pytest.mark.parametrize("room", ["for half a scan", "for the scan alone"])
def test_a_full_disk_is_told_and_nothing_wrong_is_made(segmenter, monkeypatch, disk_of, room):
    scan, _ = phantom(DIRECTIONS["identity"])
    right = segmenter.segment("crlm_007", scan)
    scan_kb = scan.GetNumberOfPixels() * scan.GetSizeOfPixelComponent() // 1000
    # The process writes its settings and its log there too.
    size_kb = 16 + {"for half a scan": scan_kb // 2, "for the scan alone": scan_kb + 8}[room]
    end_waiting()
    disk = disk_of(size_kb)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(
        OrganSegmenterError,
        match=rf"Scan crlm_007: The disk of {disk}/\S+ is full: TotalSegmentator needs .* are free",
    ):
        segmenter.segment("crlm_007", scan)
    disk_of(100_000)
    again = segmenter.segment("crlm_007", scan)
    assert np.array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(right))
    end_waiting()
