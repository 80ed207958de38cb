"""Fusion as a score type: fitted to held-out clips, kept as numbers, the same in a graph."""

import numpy as np
import pytest
import torch
from torch import nn

from humtune.scores.base import JointScore
from humtune.scores.fusion import FusionScore


@pytest.fixture
def held_out() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"cosine": rng.normal(0.2, 0.1, 30), "nll": rng.normal(-80, 9, 30)}


def test_a_fused_score_is_the_least_of_the_standardised_ones(held_out: dict[str, np.ndarray]) -> None:
    fused = FusionScore().fit(held_out)
    scores = {"cosine": np.array([0.5, 0.1, 9.0]), "nll": np.array([-70.0, -20.0, -90.0])}
    z = [(scores[name] - own.mean()) / own.std() for name, own in held_out.items()]
    np.testing.assert_allclose(fused(scores), np.min(z, axis=0), rtol=1e-12)


def test_a_fusion_comes_back_from_its_numbers(held_out: dict[str, np.ndarray]) -> None:
    fused = FusionScore().fit(held_out)
    constants = fused.constants()
    assert constants.keys() == {"centre", "spread"}
    assert all(isinstance(value, float) for part in constants.values() for value in part.values())
    assert FusionScore().load(constants) == fused


def test_a_graph_of_fusion_is_the_same_arithmetic(held_out: dict[str, np.ndarray]) -> None:
    class Column(nn.Module):
        def __init__(self, column: int) -> None:
            super().__init__()
            self.column = column

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values[:, self.column]

    fused = FusionScore().fit(held_out)
    parts = {"own": Column(0), "nll": Column(1), "cosine": Column(2)}  # of others there may be more
    values = torch.tensor([[1.0, -70.0, 0.5], [2.0, -20.0, 0.1]], dtype=torch.float64)
    found = fused.graph(parts)(values)
    scores = {"nll": values[:, 1].numpy(), "cosine": values[:, 2].numpy()}
    assert found.dtype == torch.float64
    assert np.array_equal(found.numpy(), fused(scores))


def test_fusion_is_no_score_of_references() -> None:
    assert isinstance(FusionScore(), JointScore)
    assert not FusionScore.needs_section
    assert FusionScore.least_clips > 1
