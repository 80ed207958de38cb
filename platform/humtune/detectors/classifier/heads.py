"""Heads: what the features are trained towards. A head turns features into embeddings and a loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.config import Output
from humtune.detectors.recipe import Part
from humtune.errors import UsageError

LOG_VARIANCE_LIMIT = 10.0  # e^±10 holds every variance of the paper with room to spare
LEAST_SINE = 1e-3  # where an embedding lies on its class, the sine's slope is infinite


class Head(Part, ABC):
    """Settings of a head; `gives` is what an encoder with it gives."""

    gives: ClassVar[frozenset[Output]] = frozenset({Output.EMBEDDING, Output.LOGITS})
    embeds: ClassVar[tuple[str, ...]] = ()  # parts of the layer that make embeddings, and know no class
    by_attributes: ClassVar[bool] = False  # whether classes must be named by their attributes
    least_classes: ClassVar[int] = 2

    @abstractmethod
    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> nn.Module:
        """A `HeadLayer` for features of that length and classes of these names."""

    def most_classes(self, embedding: int) -> int | None:
        """The classes that it can tell apart at most; None: any number."""
        return None

    @property
    def least_embedding(self) -> int:
        """The length of an embedding that it does with."""
        return 2

    @property
    def share_of_others(self) -> float:
        """The share of a batch that is clips of other machines."""
        return 0.0


class VariationalHead(Head):
    """Embeddings drawn towards N(μ_class, σ² I), class means orthogonal and of length mu (paper §3.3)."""

    gives: ClassVar[frozenset[Output]] = Head.gives | {Output.VARIANCE}
    embeds: ClassVar[tuple[str, ...]] = ("to_mean", "to_log_variance")

    kind: str = "variational"
    mu: float = Field(5.0, gt=0, description="length of a class mean: μ")
    sigma2: float = Field(0.02, gt=0, description="variance of a class: σ²")
    beta_class: float = Field(1.0, ge=0, description="weight of the cross-entropy: β_class")

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "Variational":
        """The head; a UsageError where there are more classes than orthogonal means."""
        return Variational(self, embedding, len(classes), generator)

    def most_classes(self, embedding: int) -> int:
        """As many as there are orthogonal means."""
        return embedding


class CrossEntropyHead(Head):
    """The backbone's features as embeddings, told apart by a linear map (the paper's vanilla baseline).

    With a gamma it is the focal loss (Lin et al., arXiv:1708.02002): what is told apart well counts less.
    """

    kind: str = "cross_entropy"
    gamma: float = Field(0.0, ge=0, description="of the focal loss; 0 is cross-entropy")

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "CrossEntropy":
        """The head."""
        return CrossEntropy(self, embedding, len(classes))


class ArcFaceHead(Head):
    """Features told apart by their angle to each class, with a margin (Deng et al., arXiv:1801.07698)."""

    kind: str = "arcface"
    margin: float = Field(0.5, ge=0, lt=math.pi / 2, description="added to the angle to the own class, rad")
    scale: float = Field(30.0, gt=0, description="what cosines are multiplied by to make logits")

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "ArcFace":
        """The head."""
        return ArcFace(self, embedding, len(classes))


class HeadLayer(Protocol):
    """A head at work: an nn.Module. One that gives SCORE has `score`, features [B, k] to scores [B]."""

    def embed(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features [B, k] to embedding means [B, k] and log-variances [B, k] or None, as in a test."""

    def classify(self, embedding: Tensor) -> Tensor:
        """Embeddings [B, k] to class logits [B, C]."""

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """The loss of features [B, k] against class weights [B, C], and the logits [B, C].

        Rows of the weights sum to 1; where the head wants other machines' clips, to how much of a chunk is
        the machine's own.
        """


class Variational(nn.Module):
    """The variational classifier's head: h_μ, h_σ and g_φ of the paper (eqs. 6 to 11).

    A class mean is a row of a random orthogonal matrix, stretched to length μ. Mixing two classes' labels
    with λ mixes their means with the same λ (eq. 12): the target mean is the label weights times the means.
    """

    class_means: Tensor

    def __init__(
        self, head: VariationalHead, embedding: int, classes: int, generator: torch.Generator
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


class Linear(nn.Module):
    """A linear map of the features to class logits; subclasses say what it is trained by."""

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


class CrossEntropy(Linear):
    """A linear classifier trained with cross-entropy: the paper's first vanilla baseline."""

    def __init__(self, head: CrossEntropyHead, embedding: int, classes: int) -> None:
        super().__init__(embedding, classes)
        self.gamma = head.gamma

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Cross-entropy or focal loss against the class weights; `noise` is not drawn from."""
        logits = self.classify(features)
        return focal(logits, target, self.gamma), logits


class ArcFace(nn.Module):
    """A classifier of angles with a margin (Deng et al. 2019, arXiv:1801.07698): the second vanilla baseline.

    Logits are s cos θ_j of the angles to the classes' weights. For a clip of class c its own logit becomes
    s cos(θ_c + m) before the softmax; beyond θ_c + m = π, where the cosine would rise again,
    s (cos θ_c − m sin m), as the authors' code does. A mixed clip has no one class: its loss is the sum of
    the losses against each class by itself, weighted as the classes are.
    """

    def __init__(self, head: ArcFaceHead, embedding: int, classes: int) -> None:
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


def focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """The mean focal loss of logits [B, C]: −(1 − p)^γ log p of each class, by the class weights [B, C]."""
    if gamma == 0:
        return F.cross_entropy(logits, target)
    log_p = logits.log_softmax(dim=1)
    return -(target * (1 - log_p.exp()) ** gamma * log_p).sum(dim=1).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor, class_mean: Tensor, sigma2: float) -> Tensor:
    """KL( N(mean, diag exp(log_variance)) ‖ N(class_mean, σ² I) ) of each row [B] (eq. 11)."""
    log_ratio = log_variance - math.log(sigma2)
    distance = (mean - class_mean).square() / sigma2
    return (log_ratio.exp() - log_ratio - 1 + distance).sum(dim=1) / 2
