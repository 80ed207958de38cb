"""Heads of many yes-or-no questions: of this class or not, with that attribute or not."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.detectors.classifier.heads import CrossEntropy, CrossEntropyHead, Head, Linear, focal
from humtune.sounds.classes import class_attributes


class AsymmetricHead(Head):
    """A linear map whose logits are judged class by class (asymmetric loss: Ridnik et al., arXiv:2009.14119).

    What is not of a class counts less the surer the head is of that, and nothing below `shift`.
    """

    kind: str = "asymmetric"
    gamma_positive: float = Field(0.0, ge=0, description="focusing on the own class")
    gamma_negative: float = Field(4.0, ge=0, description="focusing on the other classes")
    shift: float = Field(0.05, ge=0, lt=1, description="probability below which another class costs nothing")

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "Asymmetric":
        """The head."""
        return Asymmetric(self, embedding, len(classes))


class AttributeHead(CrossEntropyHead):
    """Classes by a focal loss and, beside it, each attribute's value by itself (Xiao et al. 2022).

    Clips of different classes that share a load or a speed so have something in common.
    """

    by_attributes: ClassVar[bool] = True

    kind: str = "attributes"
    gamma: float = Field(2.0, ge=0, description="of the focal loss; 0 is cross-entropy")
    beta_attribute: float = Field(1.0, ge=0, description="weight of the attributes' loss")

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "Attributes":
        """The head."""
        return Attributes(self, embedding, classes)


class Asymmetric(Linear):
    """Logits of classes, each by itself: log-odds."""

    def __init__(self, head: AsymmetricHead, embedding: int, classes: int) -> None:
        super().__init__(embedding, classes)
        self.settings = head

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """The mean over clips of the sum over classes, by their weights; `noise` is not drawn from."""
        logits, settings = self.classify(features), self.settings
        p = logits.sigmoid()
        other = (p - settings.shift).clamp_min(0)
        positive = (1 - p) ** settings.gamma_positive * F.logsigmoid(logits)
        negative = other**settings.gamma_negative * torch.log1p(-other.clamp_max(1 - 1e-6))
        return -(target * positive + (1 - target) * negative).sum(dim=1).mean(), logits


class Attributes(CrossEntropy):
    """Logits of classes, and of the attributes' values."""

    values: Tensor

    def __init__(self, head: AttributeHead, embedding: int, classes: Sequence[str]) -> None:
        super().__init__(head, embedding, len(classes))
        self.beta = head.beta_attribute
        values = torch.from_numpy(class_attributes(classes)[1])
        self.to_value = nn.Linear(embedding, values.shape[1])
        self.register_buffer("values", values, persistent=False)

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Focal loss + beta · mean binary cross-entropy of the values; a mixed clip has those of both."""
        logits = self.classify(features)
        own = F.binary_cross_entropy_with_logits(self.to_value(features), target @ self.values)
        return focal(logits, target, self.gamma) + self.beta * own, logits
