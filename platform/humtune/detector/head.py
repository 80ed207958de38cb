"""Heads: what the features are trained towards. A head turns features into embeddings and a loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from humtune import config
from humtune.config import TEST_CHUNKS
from humtune.detector.vanilla import ArcFace, CrossEntropy
from humtune.errors import UsageError

LOG_VARIANCE_LIMIT = 10.0  # e^±10 holds every variance of the paper with room to spare


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of N chunks: their means [N, k] and, where the head has one, log-variances [N, k].

    `clip` [N] says which clip each chunk was cut from; `section` [N] and `label` [N], the index of its class
    (-1: none that was trained), are None where nobody told.
    """

    mean: Tensor
    log_variance: Tensor | None
    clip: Tensor
    section: Tensor | None = None
    label: Tensor | None = None

    def take(self, rows: Tensor | slice) -> "Embeddings":
        """The chosen chunks, by index or by mask."""
        chosen: dict[str, Any] = {name: None if v is None else v[rows] for name, v in vars(self).items()}
        return Embeddings(**chosen)

    @classmethod
    def joined(cls, parts: Sequence["Embeddings"]) -> "Embeddings":
        """The chunks of several, one after the other; all know the same of their chunks."""
        columns = {name: [getattr(part, name) for part in parts] for name in vars(parts[0])}
        joined: dict[str, Any] = {n: None if v[0] is None else torch.cat(v) for n, v in columns.items()}
        return cls(**joined)

    def averaged(self) -> "Embeddings":
        """One embedding a clip: the means, and the variances, averaged over its five chunks."""
        first = self.take(slice(None, None, TEST_CHUNKS))
        variance = None if self.log_variance is None else over_chunks(self.log_variance.exp()).log()
        return replace(first, mean=over_chunks(self.mean), log_variance=variance)


def over_chunks(values: Tensor) -> Tensor:
    """Means [n, k] over the chunks of each clip of [n · 5, k]."""
    return values.view(-1, TEST_CHUNKS, values.shape[1]).mean(dim=1)


class Head(Protocol):
    """The contract of every head."""

    def embed(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features [B, k] to embedding means [B, k] and log-variances [B, k] or None, as in a test."""

    def classify(self, embedding: Tensor) -> Tensor:
        """Embeddings [B, k] to class logits [B, C]."""

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """The loss of features [B, k] against class weights [B, C] (rows sum to 1), and the logits [B, C]."""


class Variational(nn.Module):
    """The variational classifier's head: h_μ, h_σ and g_φ of the paper (eqs. 6 to 11).

    A class mean is a row of a random orthogonal matrix, stretched to length μ. Mixing two classes' labels
    with λ mixes their means with the same λ (eq. 12): the target mean is the label weights times the means.
    """

    class_means: Tensor

    def __init__(
        self, head: config.VariationalHead, embedding: int, classes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        if classes > embedding:
            raise UsageError(
                f"{classes} classes need {classes} orthogonal means, but embedding is {embedding}; raise it"
            )
        self.sigma2 = head.sigma2
        self.beta_class = head.beta_class
        self.to_mean = nn.Linear(embedding, embedding)
        self.to_log_variance = nn.Linear(embedding, embedding)
        self.to_class = nn.Linear(embedding, classes)
        rows, _ = torch.linalg.qr(torch.randn(embedding, embedding, generator=generator))
        self.register_buffer("class_means", head.mu * rows[:classes].contiguous())

    def embed(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The distribution N(mean, diag exp(log_variance)) of each chunk's embedding."""
        log_variance = self.to_log_variance(features).clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)
        return self.to_mean(features), log_variance

    def classify(self, embedding: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.to_class(embedding)
        return logits

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """β_class · CE + KL / k, with one reparameterised sample per chunk (eqs. 8 to 10)."""
        mean, log_variance = self.embed(features)
        normal = torch.randn(mean.shape, generator=noise, device=mean.device, dtype=mean.dtype)
        logits = self.classify(mean + normal * (log_variance / 2).exp())
        divergence = kl_divergence(mean, log_variance, target @ self.class_means, self.sigma2)
        loss = self.beta_class * F.cross_entropy(logits, target) + divergence.mean() / mean.shape[1]
        return loss, logits


def make_head(
    head: config.HeadConfig, embedding: int, classes: int, generator: torch.Generator
) -> Variational | CrossEntropy | ArcFace:
    """The head that a configuration asks for, for embeddings of length k and so many classes."""
    match head:
        case config.VariationalHead():
            return Variational(head, embedding, classes, generator)
        case config.CrossEntropyHead():
            return CrossEntropy(embedding, classes)
        case config.ArcFaceHead():
            return ArcFace(head, embedding, classes)


def kl_divergence(mean: Tensor, log_variance: Tensor, class_mean: Tensor, sigma2: float) -> Tensor:
    """KL( N(mean, diag exp(log_variance)) ‖ N(class_mean, σ² I) ) of each row [B] (eq. 11)."""
    log_ratio = log_variance - math.log(sigma2)
    distance = (mean - class_mean).square() / sigma2
    return (log_ratio.exp() - log_ratio - 1 + distance).sum(dim=1) / 2
