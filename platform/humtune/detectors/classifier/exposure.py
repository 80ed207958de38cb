"""Outlier exposure: a head that tells a machine from other machines, by the norm of its embedding."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.config import Output
from humtune.detectors.classifier.heads import Head, Linear

START = (1.0, -1.0)  # scale and bias: a network begins with embeddings of ‖e‖² / k = 1, whose logit is then 0


class ExposureHead(Head):
    """The machine's logit, a × ‖e‖² / k + b, and its classes', each by itself (Kuroyanagi et al. 2022).

    Clips of other machines are what the machine is not, and have no class. The head's own score is the
    negative of the machine's logit.
    """

    gives: ClassVar[frozenset[Output]] = Head.gives | {Output.SCORE}
    least_classes: ClassVar[int] = 1

    kind: str = "exposure"
    negatives: float = Field(0.5, gt=0, lt=1, description="share of a batch that is of other machines")
    beta_class: float = Field(10.0, ge=0, description="weight of the classes' loss, beside the machine's")
    features: Literal["embedding", "all"] = Field(
        "embedding", description="what is scored: e, or the machine's logit, ‖e‖, the classes' logits and e"
    )

    @property
    def share_of_others(self) -> float:
        """As set."""
        return self.negatives

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "Exposure":
        """The head."""
        return Exposure(self, embedding, len(classes))


class Exposure(Linear):
    """Logits of the machine, from the embedding's norm, and of its classes."""

    def __init__(self, head: ExposureHead, embedding: int, classes: int) -> None:
        super().__init__(embedding, classes)
        self.settings = head
        self.affine = nn.Parameter(torch.tensor(START))

    def machine(self, features: Tensor) -> Tensor:
        """The machine's logit [B] of features [B, k]."""
        scale, bias = self.affine
        logit: Tensor = scale * features.square().mean(dim=1) + bias
        return logit

    def score(self, features: Tensor) -> Tensor:
        """How little features [B, k] are the machine's: the negative of its logit [B]."""
        return -self.machine(features)

    def embed(self, features: Tensor) -> tuple[Tensor, None]:
        """The features [B, k], or behind all that is made of them, as set."""
        if self.settings.features == "embedding":
            return features, None
        norm = features.square().sum(dim=1, keepdim=True).sqrt()
        return torch.cat(
            [self.machine(features)[:, None], norm, self.to_class(features), features], dim=1
        ), None

    def classify(self, embedding: Tensor) -> Tensor:
        """Class logits [B, C]."""
        return super().classify(embedding[:, -self.to_class.in_features :])

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy of the machine + beta_class · that of its classes; `noise` is not drawn from.

        That of the classes is the mean over the machine's own chunks, and a mixed one counts by how much of
        it is its own. Their number is what their share of a batch is: micro-batches then add up.
        """
        own, logits = target.sum(dim=1), self.to_class(features)
        machine = F.binary_cross_entropy_with_logits(self.machine(features), own)
        against = target * F.logsigmoid(logits) + (own[:, None] - target) * F.logsigmoid(-logits)
        classes = -against.mean() / (1 - self.settings.negatives)
        return machine + self.settings.beta_class * classes, logits
