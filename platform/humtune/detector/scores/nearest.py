"""The paper's two scores: the distance from the nearest training embedding, and from the likeliest."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from humtune.config import Scoring
from humtune.detector.head import Embeddings
from humtune.detector.scores.score import Classify, DistanceScore
from humtune.errors import UsageError


class Cosine(DistanceScore):
    """min_i 1 − cos(z, r_i) over the references r_i (paper §4.2, first score). Needs no variances."""

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Cosine distances, 0…2."""
        unit = F.normalize(self.mean.double(), dim=1).T
        return lambda embedding: 1 - F.normalize(embedding, dim=1) @ unit


class NegativeLogLikelihood(DistanceScore):
    """min_i −log N(z; mean_i, diag variance_i) over the references i (paper §4.2, second score).

    In nats. Needs the variances of a variational head. (z − m)² / v is spelled out as z² / v − 2 z m / v
    + m² / v, so that all pairs are one matrix product: of [z², z] with [1 / v, −2 m / v].
    """

    log_variance: Tensor

    def __init__(
        self, reference: Embeddings, scoring: Scoring | None = None, classify: Classify | None = None
    ) -> None:
        super().__init__(reference, scoring, classify)
        if reference.log_variance is None:
            raise UsageError("the nll score needs the variances of a variational head")
        self.register_buffer("log_variance", reference.log_variance)

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Negative log-likelihoods."""
        mean, log_variance = self.mean.double(), self.log_variance.double()
        precision = (-log_variance).exp()
        offset = (mean.square() * precision + log_variance + math.log(2 * math.pi)).sum(dim=1) / 2
        table = torch.cat([precision / 2, -mean * precision], dim=1).T
        return lambda z: torch.addmm(offset, torch.cat([z.square(), z], dim=1), table)
