"""STgram-MFN: a spectrogram and what a network makes of the samples, two channels of a MobileFaceNet."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from humtune.detectors.classifier.backbones import MobileFaceNet, MobileFaceNetLayers

LAYERS = 3
SLOPE = 0.2  # of the leaky ReLU


class STgram(MobileFaceNet):
    """MobileFaceNet on a spectrogram beside a learnt one (Liu et al. 2022, arXiv:2201.05510)."""

    takes: ClassVar[tuple[str, ...] | None] = ("spectrogram", "waveform")

    kind: str = "stgram"

    @property
    def size(self) -> str:
        """Kind, width and activation."""
        return f"{self.kind}, {super().size}"

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> "STgramLayers":
        """The network for a spectrogram and the samples that its frames touch."""
        [(_, bins, frames), (_, _, samples)] = shapes
        return STgramLayers(self, bins, frames, samples)


class STgramLayers(nn.Module):
    """Spectrograms [B, 1, bins, frames] and samples [B, 1, 1, n] to features [B, k]."""

    def __init__(self, settings: STgram, bins: int, frames: int, samples: int) -> None:
        super().__init__()
        self.tgram = Tgram(bins, frames, samples)
        self.both = MobileFaceNetLayers(settings, bins, frames, inputs=2)

    def forward(self, spectrogram: Tensor, samples: Tensor) -> Tensor:
        """Features."""
        features: Tensor = self.both(torch.cat([spectrogram, self.tgram(samples)], dim=1))
        return features


class Tgram(nn.Module):
    """Samples [B, 1, 1, n] to a learnt spectrogram [B, 1, bins, frames].

    A filter bank as long as the spectrogram's window and moved on by its hop, and layers that see a frame and
    its neighbours.
    """

    def __init__(self, bins: int, frames: int, samples: int) -> None:
        super().__init__()
        hop = samples // (frames + 1)  # half a window
        self.filters = nn.Conv1d(1, bins, samples - (frames - 1) * hop, stride=hop, bias=False)
        self.layers = nn.Sequential(
            *(
                layer
                for _ in range(LAYERS)
                for layer in (
                    nn.LayerNorm(frames),
                    nn.LeakyReLU(SLOPE),
                    nn.Conv1d(bins, bins, 3, padding=1, bias=False),
                )
            )
        )

    def forward(self, samples: Tensor) -> Tensor:
        """One channel."""
        learnt: Tensor = self.layers(self.filters(samples[:, 0]))
        return learnt[:, None]
