"""A branch for each resolution: SE-ResNets of spectrograms beside a network of the whole spectrum."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from humtune.detectors.classifier.backbones import Backbone
from humtune.detectors.classifier.se_resnet import STAGES, SEResNetLayers

WINDOWS = ((256, 64), (64, 32), (16, 4))  # kernel and stride along the spectrum
DENSE = 5  # layers behind, the embedding's among them


class Branches(Backbone):
    """A network for each tensor, whose embeddings lie side by side (Wilkinghoff 2023, for machine sounds).

    That of the spectrum is three convolutions along frequency and dense layers.
    """

    takes: ClassVar[tuple[str, ...] | None] = ("multiresolution",)

    kind: str = "branches"
    embedding: int = Field(128, ge=2, description="length of a branch's part of an embedding")
    channels: int = Field(
        16, ge=4, description="of a spectrogram's first layer; the spectrum's layers have eight times as many"
    )

    def length(self, shapes: Sequence[tuple[int, int, int]]) -> int:
        """Of all branches together."""
        return self.embedding * len(shapes)

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> "BranchesLayers":
        """The network for some spectrograms and, of one row, the spectrum."""
        return BranchesLayers(self, shapes)


class BranchesLayers(nn.Module):
    """Spectrograms [B, 1, bins, frames] and spectra [B, 1, 1, n] to features [B, k]."""

    def __init__(self, settings: Branches, shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            SpectrumLayers(STAGES[-1] * settings.channels, length, settings.embedding)
            if rows == 1
            else SEResNetLayers(settings.channels, rows, settings.embedding)
            for _, rows, length in shapes
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Their features, one branch after the other."""
        return torch.cat([branch(x) for branch, x in zip(self.branches, inputs, strict=True)], dim=1)


class SpectrumLayers(nn.Sequential):
    """Spectra [B, 1, 1, n] to features [B, k]."""

    def __init__(self, channels: int, length: int, embedding: int) -> None:
        layers: list[nn.Module] = [nn.Flatten(1, 2)]
        inputs = 1
        for kernel, stride in WINDOWS:
            layers += [
                nn.Conv1d(inputs, channels, kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(inplace=True),
            ]
            inputs, length = channels, length // stride + 1
        layers.append(nn.Flatten())
        for wide, narrow in pairwise([channels * length, *[channels] * (DENSE - 1)]):
            layers += [nn.Linear(wide, narrow, bias=False), nn.BatchNorm1d(narrow), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.Linear(channels, embedding))
