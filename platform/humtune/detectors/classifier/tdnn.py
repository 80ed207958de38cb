"""Networks along time, whose outputs are pooled by their mean and deviation: x-vector and WaveNet."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.detectors.classifier.backbones import Backbone

CONTEXT = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))  # kernel and dilation of a layer
POOLED = 3  # times as many channels leave the last layer: in the published network 1500 after 512
LEAST_VARIANCE = 1e-6  # of a channel that doesn't change, where the deviation's slope is infinite


class XVector(Backbone):
    """A time-delay network over a spectrogram's frames (Snyder et al. 2018), its bands the channels."""

    takes: ClassVar[tuple[str, ...] | None] = ("spectrogram",)

    kind: str = "xvector"
    channels: int = Field(256, ge=8, description="of a layer; in the published network for speech 512")

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> nn.Module:
        """The network for one spectrogram; each layer is a convolution, ReLU and batch norm."""
        [(planes, bins, _)] = shapes
        widths = [planes * bins, *[self.channels] * (len(CONTEXT) - 1), POOLED * self.channels]
        layers = [_layer(*ends, *context) for ends, context in zip(pairwise(widths), CONTEXT, strict=True)]
        return nn.Sequential(
            nn.Flatten(1, 2), *layers, XVectorHead(widths[-1], self.channels, self.embedding)
        )


class WaveNet(Backbone):
    """WaveNet's gated, dilated causal convolutions on the samples (van den Oord et al. 2016), then pooled.

    Dilations are 1, 2, 4, … 2^(layers - 1), in each of the stacks.
    """

    takes: ClassVar[tuple[str, ...] | None] = ("waveform",)

    kind: str = "wavenet"
    channels: int = Field(32, ge=1, description="that go from layer to layer")
    skip: int = Field(128, ge=1, description="channels that all layers' outputs are added up in")
    layers: int = Field(10, ge=1, le=16, description="of a stack")
    stacks: int = Field(2, ge=1)

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> "WaveNetLayers":
        """The network for one row of samples."""
        return WaveNetLayers(self)


class XVectorHead(nn.Sequential):
    """[B, channels, n] to features [B, k]: statistics pooling and two dense layers."""

    def __init__(self, channels: int, hidden: int, embedding: int) -> None:
        super().__init__(
            Statistics(),
            nn.Linear(2 * channels, hidden),
            nn.ReLU(),
            nn.BatchNorm1d(hidden),
            nn.Linear(hidden, embedding),
        )


class Statistics(nn.Module):
    """Mean and standard deviation over time [B, 2 · channels] of [B, channels, n], in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """All means, then all deviations."""
        mean = x.float().mean(dim=2)
        variance = (x.float() - mean[:, :, None]).square().mean(dim=2)
        return torch.cat([mean, variance.clamp_min(LEAST_VARIANCE).sqrt()], dim=1)


class WaveNetLayers(nn.Module):
    """Samples [B, 1, 1, n] to features [B, k]."""

    def __init__(self, settings: WaveNet) -> None:
        super().__init__()
        dilations = [2**i for i in range(settings.layers)] * settings.stacks
        self.first = Causal(1, settings.channels, 1)
        self.gated = nn.ModuleList(Gated(settings.channels, settings.skip, d) for d in dilations)
        self.last = nn.Conv1d(settings.skip, settings.skip, 1)
        self.head = XVectorHead(settings.skip, settings.skip, settings.embedding)

    def along(self, samples: Tensor) -> Tensor:
        """What the convolutions make of samples [B, 1, n]: [B, skip, n], each from those up to it."""
        x, skipped = self.gated[0](self.first(samples))
        for layer in self.gated[1:]:
            x, more = layer(x)
            skipped = skipped + more
        return F.relu(self.last(F.relu(skipped)))

    def forward(self, samples: Tensor) -> Tensor:
        """Pooled over all samples."""
        features: Tensor = self.head(self.along(samples[:, 0]))
        return features


class Gated(nn.Module):
    """A layer of WaveNet: tanh × sigmoid of a dilated convolution, to what goes on and what is added up."""

    def __init__(self, channels: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.dilated = Causal(channels, 2 * channels, dilation)
        self.mixed = nn.Conv1d(channels, channels + skip, 1)
        self.split = (channels, skip)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of [B, channels, n] the next layer's input and the skipped part [B, skip, n]."""
        value, gate = self.dilated(x).chunk(2, dim=1)
        more, skipped = self.mixed(value.tanh() * gate.sigmoid()).split(self.split, dim=1)
        return x + more, skipped


class Causal(nn.Conv1d):
    """A convolution of each sample and the one `dilation` before it, over silence before the first."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__(inputs, outputs, 2, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, n] to [B, outputs, n]."""
        return super().forward(F.pad(x, (self.dilation[0], 0)))


def _layer(inputs: int, outputs: int, kernel: int, dilation: int) -> nn.Sequential:
    convolution = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)
    return nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm1d(outputs))
