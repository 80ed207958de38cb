"""Anomaly scores: how far a chunk's embedding lies from all training embeddings.

Each score type is built on the reference embeddings once and then maps embeddings [n, k] to scores [n];
higher is more anomalous. Distances are float64: in the matrix form below, float32 loses a visible part of
the score's spread to cancellation.
"""

import math

import torch
from torch import Tensor, nn

from humtune.detector.head import Embeddings
from humtune.errors import UsageError

BLOCK = 2**22  # distances held at a time: 32 MiB of float64


class NearestScore(nn.Module):
    """The least distance to any reference chunk; subclasses say what distance is."""

    clip: Tensor

    def __init__(self, reference: Embeddings) -> None:
        super().__init__()
        self.register_buffer("clip", reference.clip)

    def distances(self, embedding: Tensor) -> Tensor:
        """Distances [n, N] of embeddings [n, k] (float64) from the N reference chunks."""
        raise TypeError(f"{type(self).__name__} has no distance")

    def forward(self, embedding: Tensor, clip: Tensor | None = None) -> Tensor:
        """Scores [n] of embeddings [n, k]; where `clip` [n] is given, chunks of the same clip don't count."""
        block = max(1, BLOCK // len(self.clip))
        scores = []
        for first in range(0, embedding.shape[0], block):
            distances = self.distances(embedding[first : first + block].double())
            if clip is not None:
                own = clip[first : first + block, None] == self.clip
                distances.masked_fill_(own, math.inf)
            scores.append(distances.amin(dim=1))
        return scores[0] if len(scores) == 1 else torch.cat(scores)


class Cosine(NearestScore):
    """1 − cos of the angle to the nearest reference embedding (paper §4.2, first score)."""

    unit: Tensor

    def __init__(self, reference: Embeddings) -> None:
        super().__init__(reference)
        self.register_buffer("unit", nn.functional.normalize(reference.mean.double(), dim=1).T.contiguous())

    def distances(self, embedding: Tensor) -> Tensor:
        """Cosine distances."""
        return 1 - nn.functional.normalize(embedding, dim=1) @ self.unit


class NegativeLogLikelihood(NearestScore):
    """−log N(z; mean_i, diag variance_i) of the likeliest reference chunk i (paper §4.2, second score).

    (z − m)² / v is spelled out as z² / v − 2 z m / v + m² / v, so that all pairs are one matrix product:
    of [z², z] with [1 / v, −2 m / v].
    """

    table: Tensor
    offset: Tensor

    def __init__(self, reference: Embeddings) -> None:
        super().__init__(reference)
        if reference.log_variance is None:
            raise UsageError("the nll score needs the variances of a variational head")
        mean, log_variance = reference.mean.double(), reference.log_variance.double()
        precision = (-log_variance).exp()
        offset = (mean.square() * precision + log_variance + math.log(2 * math.pi)).sum(dim=1)
        self.register_buffer("table", torch.cat([precision / 2, -mean * precision], dim=1).T.contiguous())
        self.register_buffer("offset", offset / 2)

    def distances(self, embedding: Tensor) -> Tensor:
        """Negative log-likelihoods, in nats."""
        return torch.addmm(self.offset, torch.cat([embedding.square(), embedding], dim=1), self.table)


SCORES: dict[str, type[NearestScore]] = {"cosine": Cosine, "nll": NegativeLogLikelihood}
