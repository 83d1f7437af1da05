"""Resampling held against nnU-Net's own functions."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

from coala_kedro.nnunet.inference import crop
from coala_kedro.nnunet.resampling import Resampling, is_largest, largest

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of two tests at a time would wait for each other
    yield
    torch.set_num_threads(threads)


ORDERS = {"data": 3, "seg": 1, "probabilities": 1}


def stage(**changes):
    """A configuration of nnU-Net's default plans."""
    configuration = {}
    for role, order in ORDERS.items():
        settings = {"is_seg": role == "seg", "order": order, "order_z": 0}
        configuration |= {
            f"resampling_fn_{role}": "resample_data_or_seg_to_shape",
            f"resampling_fn_{role}_kwargs": settings | {"force_separate_z": None},
        }
    configuration |= changes
    functions = {
        f"resampling_fn_{role}": partial(
            resample_data_or_seg_to_shape, **configuration[f"resampling_fn_{role}_kwargs"]
        )
        for role in ORDERS
    }
    return SimpleNamespace(configuration=configuration, **functions)


def in_slabs(logits, votes=None, n=2):
    """Slices some at a time, as the predictor hands them on."""
    votes = torch.zeros(logits.shape[1:], dtype=torch.uint8) if votes is None else votes
    for first in range(0, len(votes), n):
        yield logits[:, first : first + n], votes[first : first + n]


SPACINGS = st.sampled_from([(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (5.0, 0.7, 0.7), (0.7, 0.7, 4.0)])
SHAPES = st.tuples(*[st.integers(2, 13)] * 3)
CASES = {"old": SHAPES, "new": SHAPES, "spacing": SPACINGS, "seed": st.integers(0, 2**16)}


def smooth(rng, shape):
    """Blobs rather than noise: neighbours mostly agree."""
    coarse = torch.from_numpy(rng.normal(size=(1, shape[0], *(max(2, n // 3) for n in shape[1:]))))
    return torch.nn.functional.interpolate(coarse, size=shape[1:], mode="trilinear")[0].numpy()


@given(**CASES)
def test_a_scan_is_that_of_nnu_net(old, new, spacing, seed):
    voxels = np.random.default_rng(seed).normal(size=(1, *old)).astype(np.float32)
    target = new, spacing, (1.5, 1.5, 1.5)
    expected = stage().resampling_fn_data(voxels.copy(), *target)
    assert Resampling(stage()).scan(voxels, *target) == pytest.approx(expected, abs=2e-5)


@given(**CASES)
def test_labels_are_those_of_nnu_net(old, new, spacing, seed):
    rng = np.random.default_rng(seed)
    voxels = smooth(rng, (5, *old)).argmax(0)[None].astype(np.int8) - 1
    target = new, spacing, (1.5, 1.5, 1.5)
    expected = stage().resampling_fn_seg(voxels.copy(), *target)
    made = Resampling(stage()).labels(voxels, *target)
    assert made.dtype == expected.dtype
    assert (made == expected).all()


@given(**CASES)
def test_the_label_map_is_that_of_nnu_nets_logits(old, new, spacing, seed):
    logits = torch.from_numpy(smooth(np.random.default_rng(seed), (6, *old))).half()
    target = new, spacing, (1.5, 1.5, 1.5)
    resampled = torch.from_numpy(stage().resampling_fn_probabilities(logits.clone(), *target))
    made, _ = Resampling(stage()).label_map(in_slabs(logits), old, *target)
    made = torch.from_numpy(made).long()
    chosen = resampled.gather(0, made[None])[0]
    assert (chosen.double() >= resampled.amax(0).double() - 2e-3).all(), "more than a tie"
    assert (made == resampled.argmax(0)).float().mean() >= 0.995


@given(**CASES)
def test_votes_are_nnu_nets_rounded(old, new, spacing, seed):
    votes = np.random.default_rng(seed).integers(0, 6, old).astype(np.uint8)
    target = new, spacing, (1.5, 1.5, 1.5)
    resampled = stage().resampling_fn_probabilities(votes[None].astype(np.float32), *target)[0]
    slabs = in_slabs(torch.zeros((3, *old)).half(), torch.from_numpy(votes))
    _, made = Resampling(stage()).label_map(slabs, old, *target)
    assert (np.abs(made - resampled) <= 0.5 + 1e-5).all()


@pytest.mark.parametrize("role", [*ORDERS])
def test_plans_with_other_functions_have_them(role):
    asked = {f"resampling_fn_{role}_kwargs": {"is_seg": role == "seg", "order": 0, "order_z": 0}}
    other, target = stage(**asked), ((6, 7, 8), (1.0, 1.0, 1.0), (1.5, 1.5, 1.5))
    rng = np.random.default_rng(0)
    voxels = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    if role == "data":
        assert (
            Resampling(other).scan(voxels, *target) == other.resampling_fn_data(voxels, *target)
        ).all()
    elif role == "seg":
        labels = voxels[:1].round()
        assert (
            Resampling(other).labels(labels, *target) == other.resampling_fn_seg(labels, *target)
        ).all()
    else:
        expected = other.resampling_fn_probabilities(voxels, *target).argmax(0)
        slabs = in_slabs(torch.from_numpy(voxels))
        made, votes = Resampling(other).label_map(slabs, voxels.shape[1:], *target)
        assert (made == expected).all()
        assert votes.shape == expected.shape


def test_the_largest_is_argmax_with_the_first_of_a_tie():
    logits = torch.randint(0, 3, (7, 5, 6, 4)).half()
    assert (largest(logits) == torch.from_numpy(logits.numpy().argmax(0))).all()
    for k in range(7):
        assert (is_largest(logits, k) == (largest(logits) == k)).all()


@given(st.tuples(*[st.integers(3, 9)] * 3), st.integers(0, 2**16), st.booleans())
def test_a_crop_is_that_of_nnu_net(shape, seed, labelled):
    rng = np.random.default_rng(seed)
    scan = (rng.normal(size=(1, *shape)) * (rng.random((1, *shape)) > 0.6)).astype(np.float32)
    scan[0, 1, 1, 1] = 1  # there is something
    labels = rng.integers(0, 3, (1, *shape)).astype(np.int16) if labelled else None
    theirs = crop_to_nonzero(scan, None if labels is None else labels.copy())
    ours = crop(scan, labels)
    assert (ours[0] == theirs[0]).all()
    assert (ours[1] == theirs[1]).all()
    assert ours[2] == theirs[2]
