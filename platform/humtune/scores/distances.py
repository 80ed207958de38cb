"""The paper's two scores: the distance from the nearest training embedding, and from the likeliest."""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from humtune.config import Output
from humtune.scores.base import DistanceScore, Score
from humtune.scores.encoded import Encoded


class Cosine(Score):
    """min_i 1 − cos(z, r_i) over the references r_i (paper §4.2, first score)."""

    def fit(self, reference: Encoded) -> "CosineDistance":
        """Against these references."""
        return CosineDistance(self, reference)


class CosineDistance(DistanceScore):
    """Cosine distance from the nearest reference, 0…2."""

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Cosine distances."""
        unit = F.normalize(self.mean.double(), dim=1).T
        return lambda embedding: 1 - F.normalize(embedding, dim=1) @ unit


class NegativeLogLikelihood(Score):
    """min_i −log N(z; mean_i, diag variance_i) over the references i, in nats (paper §4.2, second score)."""

    needs: ClassVar[frozenset[Output]] = frozenset({Output.EMBEDDING, Output.VARIANCE})

    def fit(self, reference: Encoded) -> "LikeliestReference":
        """Against these references."""
        return LikeliestReference(self, reference)


class LikeliestReference(DistanceScore):
    """Negative log-likelihood under the likeliest reference's distribution.

    (z − m)² / v is spelled out as z² / v − 2 z m / v + m² / v, so that all pairs are one matrix product: of
    [z², z] with [1 / v, −2 m / v].
    """

    log_variance: Tensor

    def __init__(self, settings: Score, reference: Encoded) -> None:
        super().__init__(settings, reference)
        assert reference.log_variance is not None
        self.register_buffer("log_variance", reference.log_variance)

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Negative log-likelihoods."""
        mean, log_variance = self.mean.double(), self.log_variance.double()
        precision = (-log_variance).exp()
        offset = (mean.square() * precision + log_variance + math.log(2 * math.pi)).sum(dim=1) / 2
        table = torch.cat([precision / 2, -mean * precision], dim=1).T
        return lambda z: torch.addmm(offset, torch.cat([z.square(), z], dim=1), table)
