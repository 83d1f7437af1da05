import itertools

import numpy as np
import pytest
from abdomens import SPACING_MM, phantom
from hospital import LIVER, SPLEEN

from coala_kedro.imaging.arrangement import turned
from coala_kedro.organs import EXPECTED_CENTRES_MM
from coala_kedro.pipelines.preprocessing.checks import Limits

pytestmark = pytest.mark.xdist_group("arrangement")

LIMIT_MM = Limits().max_misplacement_mm
STOMACH, COLON, KIDNEY_LEFT = 6, 20, 3
WAYS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.fixture(scope="module")
def centres_mm():
    _, organs, _ = phantom()
    found = {}
    for organ in EXPECTED_CENTRES_MM:
        zyx = np.argwhere(organs == organ).mean(axis=0)
        found[organ] = zyx[::-1] * SPACING_MM
    return found


def test_of_all_48_ways_one_is_right(centres_mm):
    for order, signs in WAYS:
        told = {organ: place[list(order)] * signs for organ, place in centres_mm.items()}
        axes, misplacement_mm = turned(told, EXPECTED_CENTRES_MM)
        mirrored = zip(("left_right", "front_back", "head_feet"), signs, strict=True)
        expected = ", ".join(axis for axis, sign in mirrored if sign < 0)
        assert axes == ("exchanged" if order != (0, 1, 2) else expected)
        assert (misplacement_mm > LIMIT_MM) == bool(axes)


def test_an_organ_that_lies_oddly_decides_nothing(centres_mm):
    for organ, by in itertools.product(centres_mm, (120, -120)):
        for axis in range(3):
            moved = centres_mm[organ] + by * np.eye(3)[axis]
            told = turned(centres_mm | {organ: moved}, EXPECTED_CENTRES_MM)
            assert told.misplacement_mm < LIMIT_MM


def test_organs_that_nobody_expects_do_not_count(centres_mm):
    aorta = {52: np.array((1e6, 0, 0))}
    assert turned(centres_mm | aorta, EXPECTED_CENTRES_MM) == ("", 0)


@pytest.mark.parametrize("organ", [SPLEEN, STOMACH, KIDNEY_LEFT])
def test_two_organs_tell_left_from_right_and_no_more(centres_mm, organ):
    for signs in itertools.product((1, -1), repeat=3):
        told = {i: centres_mm[i] * signs for i in (LIVER, organ)}
        axes, misplacement_mm = turned(told, EXPECTED_CENTRES_MM)
        assert (axes == "left_right") == (signs[0] < 0)
        assert (misplacement_mm > LIMIT_MM) == (signs[0] < 0)


def test_a_low_scan_with_six_organs_tells_its_head_from_its_feet():
    """65 mm high, of boxes: liver, spleen, stomach, kidneys, colon."""
    found = {
        LIVER: (64, 110, 32), SPLEEN: (175, 140, 32), STOMACH: (155, 80, 35), 2: (60, 150, 17),
        KIDNEY_LEFT: (140, 150, 17), COLON: (100, 80, 7),
    }  # fmt: skip
    assert turned(found, EXPECTED_CENTRES_MM) == ("", 0)
    upside_down = {organ: (x, y, -z) for organ, (x, y, z) in found.items()}
    axes, misplacement_mm = turned(upside_down, EXPECTED_CENTRES_MM)
    assert axes == "head_feet"
    assert misplacement_mm > LIMIT_MM


@pytest.mark.parametrize("seed", range(20))
def test_organs_differ_from_patient_to_patient(centres_mm, seed):
    rng = np.random.default_rng(seed)
    told = {organ: place + rng.normal(0, 20, 3) for organ, place in centres_mm.items()}
    assert turned(told, EXPECTED_CENTRES_MM).misplacement_mm < LIMIT_MM


def test_one_organ_tells_nothing(centres_mm):
    assert turned({LIVER: centres_mm[LIVER]}, EXPECTED_CENTRES_MM) is None
    assert turned({}, EXPECTED_CENTRES_MM) is None
