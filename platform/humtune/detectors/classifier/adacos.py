"""AdaCos: classes told apart by angles whose scale follows from their number, each with several centres."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.detectors.classifier.heads import Head

LEAST_SCALE = 0.5  # of two centres the published scale is 0, and nothing would be learnt


class AdaCosHead(Head):
    """Angles to a class's centres, without a margin (AdaCos: Zhang et al. 2019, arXiv:1905.00292).

    With several centres a class it is sub-cluster AdaCos (Wilkinghoff 2021, IJCNN): a class need not be one
    heap. Fixed centres are random directions.
    """

    kind: str = "adacos"
    sub_clusters: int = Field(16, ge=1, description="centres of a class; with 1 it is AdaCos")
    centres: Literal["trainable", "fixed"] = "trainable"
    scale: Literal["fixed", "adaptive"] = Field(
        "fixed", description="√2 ln(centres − 1), or from batch to batch by what the angles have become"
    )

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "AdaCos":
        """The head."""
        return AdaCos(self, embedding, len(classes), generator)


class Angles(nn.Module, ABC):
    """Class logits from the scaled cosines of angles; subclasses say to what the angles are."""

    scale: Tensor

    def __init__(self, centres: int, *, adaptive: bool) -> None:
        super().__init__()
        self.adaptive = adaptive
        self.register_buffer("scale", torch.tensor(first_scale(centres)))

    @abstractmethod
    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines [B, C, n] of the angles between embeddings [B, k] and what each class has n of."""

    def embed(self, features: Tensor) -> tuple[Tensor, None]:
        """The features themselves, without a variance; only their direction was trained."""
        return features, None

    def classify(self, embedding: Tensor) -> Tensor:
        """Class logits [B, C]."""
        return self._logits(self.cosines(embedding))

    def _logits(self, cosines: Tensor) -> Tensor:
        """By softmax they give a class the sum of the probabilities of its centres."""
        return (self.scale * cosines).logsumexp(dim=2)

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Cross-entropy against the class weights; `noise` is not drawn from."""
        cosines = self.cosines(features)
        if self.adaptive:
            self.scale.copy_(next_scale(cosines.detach(), target, self.scale))
        logits = self._logits(cosines)
        return F.cross_entropy(logits, target), logits


class AdaCos(Angles):
    """Angles to the classes' centres [C, n, k]."""

    centres: Tensor

    def __init__(self, head: AdaCosHead, embedding: int, classes: int, generator: torch.Generator) -> None:
        super().__init__(classes * head.sub_clusters, adaptive=head.scale == "adaptive")
        centres = F.normalize(torch.randn(classes, head.sub_clusters, embedding, generator=generator), dim=2)
        if head.centres == "trainable":
            self.centres = nn.Parameter(centres)
        else:
            self.register_buffer("centres", centres)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines [B, C, n]."""
        centres = F.normalize(self.centres, dim=2)
        cosines: Tensor = torch.einsum("bk,cnk->bcn", F.normalize(embedding, dim=1), centres)
        return cosines


def first_scale(centres: int) -> float:
    """√2 ln(C − 1) of so many centres in all."""
    return max(LEAST_SCALE, math.sqrt(2) * math.log(max(1, centres - 1)))


def next_scale(cosines: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """The scale of a batch with cosines [B, C, n] and class weights [B, C], after that of the one before.

    ln B / cos(min(π/4, θ)): B is the mean of a chunk's Σ e^(scale · cosine), over the centres of the other
    classes (AdaCos) or, where a class has several, over all (sub-cluster AdaCos); θ is the median angle to
    the own class, of several centres to the nearest, of mixed classes as the classes are mixed.
    """
    others = 1 - target[:, :, None] if cosines.shape[2] == 1 else torch.ones_like(cosines)
    of_chunk = (others.clamp_min(torch.finfo(others.dtype).tiny).log() + scale * cosines).flatten(1)
    log_mean = of_chunk.logsumexp(dim=(0, 1)) - math.log(len(target))
    angle = (target * cosines.amax(dim=2).clamp(-1, 1).acos()).sum(dim=1).median()
    return (log_mean / angle.clamp_max(math.pi / 4).cos()).clamp_min(LEAST_SCALE)
