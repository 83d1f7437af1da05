"""The predictor of all folds, held against nnU-Net's own, which it is made of."""

from unittest import mock

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot
from tiny_cascade import PATCH, make_cascade

from coala_kedro.nnunet import predictor as module
from coala_kedro.nnunet.model import open_model
from coala_kedro.nnunet.predictor import FoldsPredictor

pytestmark = pytest.mark.slow

SHAPES = [(16, 16, 16), (40, 25, 33), (9, 20, 50), (17, 8, 16), (61, 16, 5)]
CRLM = 13


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(make_cascade(tmp_path_factory.mktemp("model") / "cascade"))


def opened(kind, model, stage, **settings):
    made = kind(device=torch.device("cpu"), allow_tqdm=False, **settings)
    made.initialize_from_trained_model_folder(str(model.stage_folder(stage)), model.folds)
    return made


def both(model, stage, **settings):
    settings = {"tile_step_size": 0.5, "use_mirroring": False} | settings
    kinds = (nnUNetPredictor, FoldsPredictor)
    return [opened(kind, model, stage, **settings) for kind in kinds]


def whole(slabs):
    logits, votes = zip(*slabs, strict=True)
    return torch.cat(logits, 1), torch.cat(votes)


def close(one, other):
    """In the last digits of half precision; at a tile's rim, of little weight, digits are few."""
    assert one.shape == other.shape
    assert torch.isclose(one.float(), other.float(), rtol=4e-3, atol=4e-3).float().mean() > 0.9995
    assert torch.allclose(one.float(), other.float(), rtol=0.1, atol=0.1)


@pytest.fixture(autouse=True)
def _seeded_on_one_thread():
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of two tests at a time would wait for each other
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0.5, 0.8])
def test_the_folds_mean_is_nnu_nets(model, shape, step):
    stock, ours = both(model, "lowres", tile_step_size=step)
    data = torch.randn(1, *shape)
    logits, votes = whole(ours.slabs(data, voted=CRLM))
    close(logits, stock.predict_logits_from_preprocessed_data(data.clone()))
    counted = torch.zeros(shape, dtype=torch.uint8)
    for weights in stock.list_of_parameters:
        stock.network.load_state_dict(weights)
        counted += stock.predict_sliding_window_return_logits(data.clone()).argmax(0) == CRLM
    assert (votes == counted).float().mean() > 0.999
    assert len(votes.unique()) > 1, "nobody voted for anything"


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_of_the_first_stage_are_channels(model, shape):
    stock, ours = both(model, "cascade")
    data, labels = torch.randn(1, *shape), torch.randint(-1, 14, shape, dtype=torch.int16)
    known = stock.label_manager.foreground_labels
    channels = convert_labelmap_to_one_hot(labels.numpy(), known, np.float32)
    stacked = torch.cat((data, torch.from_numpy(channels)))
    logits, _ = whole(ours.slabs(data, labels))
    close(logits, stock.predict_logits_from_preprocessed_data(stacked))


def test_mirroring_and_weights_are_nnu_nets(model):
    stock, ours = both(model, "lowres", use_mirroring=True)
    for predictor in (stock, ours):
        predictor.allowed_mirroring_axes = [0, 2]
    data = torch.randn(1, 20, 20, 30)
    mirrored, _ = whole(ours.slabs(data))
    close(mirrored, stock.predict_logits_from_preprocessed_data(data.clone()))
    stock.use_gaussian = ours.use_gaussian = False
    flat, _ = whole(ours.slabs(data))
    close(flat, stock.predict_logits_from_preprocessed_data(data.clone()))
    assert not torch.allclose(flat.float(), mirrored.float(), atol=0.1)


def test_large_tiles_go_one_by_one_and_come_out_the_same(model):
    _, ours = both(model, "lowres")
    data = torch.randn(1, 30, 20, 20)
    together, _ = whole(ours.slabs(data))
    with mock.patch.object(module, "_SMALL_TILE_VOXELS", 1):
        close(whole(ours.slabs(data))[0], together)


def test_a_slab_is_handed_on_as_soon_as_it_is_done(model):
    _, ours = both(model, "lowres")
    slabs = ours.slabs(torch.randn(1, 10 * PATCH[0], 16, 16))
    lengths = [len(slab.votes) for slab in slabs]
    assert max(lengths) <= PATCH[0]
    assert sum(lengths) == 10 * PATCH[0]
