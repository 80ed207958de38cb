import numpy as np
import pytest
import torch

from humtune.export.graph import calibrated
from humtune.metrics.calibration import Compressed, GammaTail, Standard

RNG = np.random.default_rng(3)
HELD_OUT = {
    "many": 50 * RNG.gamma(2, size=300),
    "small, skewed": 1e-3 * RNG.exponential(size=30),
    "skewed to the left": -RNG.exponential(size=40),
    "two": np.array([1.0, 2.0]),
    "all equal": np.full(5, 3.0),
}


@pytest.mark.parametrize("name", HELD_OUT)
@pytest.mark.parametrize("kind", [Standard, Compressed, GammaTail])
def test_says_what_the_calibration_says_from_far_below_to_far_above(name, kind):
    held_out = HELD_OUT[name]
    calibration = kind.of(held_out)
    spread = GammaTail.of(held_out).scale.spread
    end = GammaTail.of(held_out).end
    scores = np.concatenate(
        [
            held_out,
            np.linspace(held_out.min() - 20 * spread, held_out.max() + 20 * spread, 5001),
            np.linspace(held_out.max(), end + 50 * spread, 5001),
        ]
    )
    found = calibrated(calibration)(torch.from_numpy(scores))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), calibration(scores), rtol=1e-9, atol=5e-5)


def test_without_calibration_a_score_stays_as_it_is():
    scores = torch.tensor([1.5, -2.0], dtype=torch.float64)
    assert calibrated(None)(scores) is scores
