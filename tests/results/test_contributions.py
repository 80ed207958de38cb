"""What a kind brings to the ensemble is read on clips that chose none of its candidates."""

import numpy as np
import pytest

from humtune.metrics.cells import Cell, Cells
from humtune.results.contributions import brings

CLIPS = 400


@pytest.fixture
def cells():
    label, domain = np.arange(CLIPS) % 2, np.arange(CLIPS) // 2 % 2
    found = [
        Cell(0, d, *(np.flatnonzero((domain == d) & (label == wanted)) for wanted in (0, 1))) for d in (0, 1)
    ]
    return Cells("fan", np.arange(CLIPS).astype(str), np.full(CLIPS, ""), tuple(found))


def noise(candidates, skill=0.0):
    rng = np.random.default_rng(candidates)
    return rng.normal(size=(candidates, CLIPS)) + skill * (np.arange(CLIPS) % 2)


def test_of_many_candidates_that_are_noise_the_luckiest_bring_nothing(cells):
    scores = np.concatenate([noise(3, skill=0.5), noise(600)])
    found = brings(scores, ["good"] * 3 + ["noise"] * 600, cells)
    assert found["good"] > 0.05
    assert found["noise"] < 0.01


def test_a_kind_that_is_never_chosen_brings_nothing_and_one_alone_can_not_be_told(cells):
    good, poor = noise(4, skill=3.0), noise(2, skill=-3.0)
    found = brings(np.concatenate([good, poor]), ["good"] * 4 + ["poor"] * 2, cells)
    assert found["poor"] == 0.0
    assert found["good"] > 0.5
    assert brings(good, ["good"] * 4, cells) == {}
