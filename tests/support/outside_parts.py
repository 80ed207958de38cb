"""Parts of detectors as a person writes them outside of humtune; a space names them by their place."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.detectors.classifier.backbones import Backbone
from humtune.detectors.classifier.heads import Head
from humtune.detectors.classifier.recipe import Classifier
from humtune.scores.base import DistanceScore, FittedScore, Score
from humtune.scores.encoded import Encoded

HEAD = "outside_parts:Prototypes"
BACKBONE = "outside_parts:Averaging"
SCORE = "outside_parts:Farthest"
FAMILY = "outside_parts:Short"


class Prototypes(Head):
    """Embeddings drawn to a learned point a class."""

    kind: str = HEAD
    sharpness: float = Field(0.1, gt=0)
    smoothing: float = Field(0.0, ge=0, lt=1)

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "PrototypeLayer":
        return PrototypeLayer(self, torch.randn(len(classes), embedding, generator=generator))


class PrototypeLayer(nn.Module):
    def __init__(self, settings: Prototypes, points: Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.points = nn.Parameter(points)

    def embed(self, features: Tensor) -> tuple[Tensor, None]:
        return features, None

    def classify(self, embedding: Tensor) -> Tensor:
        away = (embedding[:, None] - self.points).square().sum(dim=2)
        return -self.settings.sharpness * away

    def loss(self, features: Tensor, target: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        logits = self.classify(features)
        return F.cross_entropy(logits, target, label_smoothing=self.settings.smoothing), logits


class Averaging(Backbone):
    """A spectrogram's mean and deviation over time, row by row, and a linear map."""

    kind: str = BACKBONE
    bias: bool = True

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> "AveragingLayers":
        [(_, rows, _)] = shapes
        return AveragingLayers(nn.Linear(2 * rows, self.embedding, bias=self.bias))


class AveragingLayers(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, spectrogram: Tensor) -> Tensor:
        rows = spectrogram[:, 0]
        features: Tensor = self.linear(torch.cat([rows.mean(dim=2), rows.std(dim=2)], dim=1))
        return features


class Farthest(Score):
    """The distance from the farthest of the nearest few references."""

    neighbours: int = Field(5, ge=1)
    power: float = Field(1.0, gt=0)

    def fit(self, reference: Encoded) -> FittedScore:
        return FarthestOfNearest(self, reference)


class FarthestOfNearest(DistanceScore):
    def distances(self):
        return lambda z: torch.cdist(z, self.mean.double())

    def reduce(self, distances: Tensor) -> Tensor:
        few = min(self.settings.neighbours, distances.shape[1])
        return distances.topk(few, dim=1, largest=False).values.amax(dim=1) ** self.settings.power


class Short(Classifier):
    """A family of its own: a classifier that stops after a share of its epochs."""

    sizes: ClassVar[tuple[str, ...]] = (*Classifier.sizes, "share")

    family: str = FAMILY
    share: float = Field(0.5, gt=0, le=1)

    @property
    def budget(self) -> int:
        return max(1, round(self.share * self.training.epochs))
