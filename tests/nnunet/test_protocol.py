from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from coala_kedro.fingerprint import fingerprint
from coala_kedro.models.parameters import Compute, Inference
from coala_kedro.nnunet.protocol import Optimiser, Planning, Protocol

BASE = Path(__file__).parents[2] / "conf" / "base"


@pytest.mark.parametrize("kind", [Planning, Optimiser, Protocol, Inference, Compute])
def test_an_unknown_setting_is_refused(kind):
    with pytest.raises(ValidationError, match=r"epochen\n  Extra inputs are not permitted"):
        kind(epochen=3)


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (Planning, "gpu_memory_target_gb", 0),
        (Optimiser, "name", "adamw"),
        (Optimiser, "initial_learning_rate", 0),
        (Optimiser, "momentum", 1),
        (Protocol, "epochs", 0),
        (Protocol, "epochs", 2.5),
        (Protocol, "foreground_oversampling", 1.1),
        (Protocol, "seed", -1),
        (Inference, "tile_step_size", 0),
        (Inference, "tile_step_size", 1.5),
        (Compute, "device", "mps"),
        (Compute, "processes", 0),
        (Compute, "pool", "fork"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(kind, setting, value):
    with pytest.raises(ValidationError, match=rf"\n{setting}\n"):
        kind(**{setting: value})


def test_settings_cannot_be_changed_once_made():
    with pytest.raises(ValidationError, match="frozen"):
        Protocol().epochs = 3


def test_the_machine_makes_nothing_stale_and_the_protocol_does():
    machines = (Compute(), Compute(device="cpu", processes=2, torch_threads=1, warm=True))
    assert len({fingerprint({"compute": compute}) for compute in machines}) == 1
    deep = Protocol(planning=Planning(base_features=16))
    protocols = (Protocol(), Protocol(epochs=999), Protocol(seed=1), deep)
    assert len({fingerprint(protocol) for protocol in protocols}) == 4


def test_the_papers_protocol_is_nnunets_own_but_for_the_learning_rate():
    given = yaml.safe_load((BASE / "parameters_training.yml").read_text())["protocol"]
    papers = Optimiser(initial_learning_rate=0.05)
    assert Protocol.model_validate(given) == Protocol(optimiser=papers)
