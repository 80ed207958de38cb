"""Heads without a distribution: the embedding is what the backbone gives, and classes shape it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from humtune import config

LEAST_SINE = 1e-3  # where an embedding lies on its class, the sine's slope is infinite


class CrossEntropy(nn.Module):
    """A linear classifier trained with cross-entropy: the paper's first vanilla baseline."""

    def __init__(self, embedding: int, classes: int) -> None:
        super().__init__()
        self.to_class = nn.Linear(embedding, classes)

    def embed(self, features: Tensor) -> tuple[Tensor, None]:
        """The features themselves, without a variance."""
        return features, None

    def classify(self, embedding: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.to_class(embedding)
        return logits

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Cross-entropy against the class weights; `noise` is not drawn from."""
        logits = self.classify(features)
        return F.cross_entropy(logits, target), logits


class ArcFace(nn.Module):
    """A classifier of angles with a margin (Deng et al. 2019, arXiv:1801.07698): the second vanilla baseline.

    Logits are s cos θ_j of the angles to the classes' weights. For a clip of class c its own logit becomes
    s cos(θ_c + m) before the softmax; beyond θ_c + m = π, where the cosine would rise again,
    s (cos θ_c − m sin m), as the authors' code does. A mixed clip has no one class: its loss is the sum of
    the losses against each class by itself, weighted as the classes are.
    """

    def __init__(self, head: config.ArcFaceHead, embedding: int, classes: int) -> None:
        super().__init__()
        self.margin = head.margin
        self.scale = head.scale
        self.weight = nn.Parameter(torch.empty(classes, embedding))
        nn.init.xavier_uniform_(self.weight)

    def embed(self, features: Tensor) -> tuple[Tensor, None]:
        """The features themselves, without a variance; only their direction was trained."""
        return features, None

    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines [B, C] of the angles between embeddings [B, k] and the classes' weights."""
        return F.linear(F.normalize(embedding, dim=1), F.normalize(self.weight, dim=1))

    def classify(self, embedding: Tensor) -> Tensor:
        """Class logits, without a margin."""
        return self.scale * self.cosines(embedding)

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """The weighted cross-entropies, each with the margin on its own class; `noise` is not drawn from."""
        cosine = self.cosines(features)
        sine = (1 - cosine.square()).clamp_min(LEAST_SINE**2).sqrt()
        wider = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine < -math.cos(self.margin)
        own = self.scale * torch.where(beyond, cosine - self.margin * math.sin(self.margin), wider)
        logits = self.scale * cosine
        classes = torch.eye(target.shape[1], dtype=torch.bool, device=target.device)
        against = torch.where(classes, own[:, None], logits[:, None])  # [B, own class, C]
        losses = -against.log_softmax(dim=2).diagonal(dim1=1, dim2=2)
        return (target * losses).sum(dim=1).mean(), logits
