"""Front ends for networks that see the samples themselves, alone or beside a spectrogram."""

from collections.abc import Hashable, Iterable, Iterator
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from humtune.config import SAMPLE_RATE
from humtune.detectors.frontends import (
    Frontend,
    FrontendLayer,
    Spectrogram,
    SpectrogramLayer,
    graph_starts,
)
from humtune.sounds.sound_file import FULL_SCALE


class Waveform(Frontend):
    """The samples of a chunk, in frames side by side."""

    gives: ClassVar[tuple[str, ...]] = ("waveform",)

    kind: str = "waveform"
    chunk_frames: int = Field(64, ge=16, description="frames in one chunk")
    frame_samples: int = Field(512, ge=2, le=16_384, multiple_of=2, description="samples in one frame")

    @property
    def hop_samples(self) -> int:
        """A frame: they don't overlap."""
        return self.frame_samples

    @property
    def window(self) -> int:
        """A frame."""
        return self.frame_samples

    @property
    def size(self) -> str:
        """Samples of a chunk."""
        return f"{self.chunk_samples} samples"

    def build(self) -> FrontendLayer:
        """The layer that standardises them."""
        return WaveformLayer(self)


class RawWaveform(Waveform):
    """The samples of a chunk as they were recorded, for a network that knows what it wants of them."""

    gives: ClassVar[tuple[str, ...]] = ("raw_waveform",)

    kind: str = "raw_waveform"

    def build(self) -> FrontendLayer:
        """The layer that leaves them as they are."""
        return RawWaveformLayer(self)


class SpectrogramAndWaveform(Spectrogram):
    """A spectrogram and, beside it, the samples that its frames touch."""

    gives: ClassVar[tuple[str, ...]] = ("spectrogram", "waveform")

    kind: str = "spectrogram_and_waveform"

    @model_validator(mode="after")
    def _half_a_window(self) -> "SpectrogramAndWaveform":
        if 2 * self.hop_samples != self.n_fft:  # of a chunk's frames and samples a network tells the hop
            raise ValueError(
                f"hop must be half of n_fft beside a waveform: {self.n_fft // 2}, got {self.hop}"
            )
        return self

    @property
    def size(self) -> str:
        """Rows × frames, and samples."""
        return f"{super().size} and {self.chunk_samples} samples"

    def build(self) -> "SpectrogramAndWaveformLayer":
        """The layer that makes both, of recordings at humtune's sample rate."""
        return SpectrogramAndWaveformLayer(self, SAMPLE_RATE)


class Samples(nn.Module):
    """Samples brought to the mean 0 and the deviation 1 that they have over the training clips."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [B, n] (int16, or float in [-1, 1]) as [B, 1, 1, n]."""
        return ((scaled(samples, torch.float32) - self.mean) / self.std)[:, None, None]

    @torch.no_grad()
    def fitted(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pass on batches of training samples [B, n]; at their end, mean and deviation are set."""
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for samples in batches:
            values = scaled(samples, torch.float64)
            count += values.numel()
            total += values.sum()
            squares += values.square().sum()
            yield samples
        variance = squares / count - (total / count).square()
        self.mean.copy_(total / count)
        self.std.copy_(torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt())


class WaveformLayer(FrontendLayer):
    """Samples [B, n] (int16, or float in [-1, 1]) to standardised ones [B, 1, 1, n]."""

    def __init__(self, settings: Waveform) -> None:
        super().__init__()
        self.settings = settings
        self.samples = Samples()

    @property
    def shapes(self) -> tuple[tuple[int, int, int]]:
        """One row of samples."""
        return ((1, 1, self.settings.chunk_samples),)

    @property
    def key(self) -> Hashable:
        """The frames, by which a clip is reflected at its ends."""
        return self.settings.model_copy(update={"chunk_frames": 0})

    def forward(self, samples: Tensor) -> tuple[Tensor]:
        """Standardised samples, ready for the network."""
        return (self.samples(samples),)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set the mean and the deviation of all samples."""
        for _ in self.samples.fitted(batches):
            pass

    def whole(self, waveform: Tensor) -> Tensor:
        """A clip's samples [n + frame], reflected at both ends."""
        return reflected(waveform, self.settings)[0]

    def chunks(self, whole: Tensor) -> tuple[Tensor]:
        """Five equispaced, standardised chunks [5, 1, 1, n] of a clip's samples."""
        return (self.samples(equispaced(whole, self.settings)),)


class RawWaveformLayer(WaveformLayer):
    """Samples [B, n] (int16, or float in [-1, 1]) to samples in [-1, 1], [B, 1, 1, n]."""

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Nothing: they keep their level."""


class SpectrogramAndWaveformLayer(SpectrogramLayer):
    """Samples [B, n] to standardised spectrograms [B, 1, bins, frames] and samples [B, 1, 1, n]."""

    def __init__(self, settings: SpectrogramAndWaveform, sample_rate: int) -> None:
        super().__init__(settings, sample_rate)
        self.samples = Samples()

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:  # type: ignore[override]
        """One channel of bins × frames, one row of samples."""
        return *super().shapes, (1, 1, self.settings.chunk_samples)

    def forward(self, samples: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Both, ready for the network."""
        return *super().forward(samples), self.samples(samples)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set the rows' and the samples' means and deviations."""
        super().fit(self.samples.fitted(batches))

    def whole(self, waveform: Tensor) -> Tensor:
        """A clip's samples [n + n_fft], reflected at both ends."""
        return reflected(waveform, self.settings)[0]

    def chunks(self, whole: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Five equispaced chunks of a clip: spectrograms [5, 1, bins, frames] and samples [5, 1, 1, n]."""
        spectrograms = super().chunks(self.spectrogram(whole[None])[0])
        return *spectrograms, self.samples(equispaced(whole, self.settings))


def scaled(samples: Tensor, precision: torch.dtype) -> Tensor:
    """Samples, int16 or float in [-1, 1], as floats in [-1, 1]."""
    values = samples.to(precision)
    return values / FULL_SCALE if samples.dtype == torch.int16 else values


def equispaced(whole: Tensor, frontend: Frontend) -> Tensor:
    """The samples [5, chunk_samples] of five equispaced chunks of a reflected clip."""
    frames = (whole.shape[0] - frontend.window) // frontend.hop_samples + 1
    starts = graph_starts(frames, frontend.chunk_frames) * frontend.hop_samples
    return whole[starts[:, None] + torch.arange(frontend.chunk_samples)]


def reflected(waveform: Tensor, frontend: Frontend) -> Tensor:
    """A clip [1, n] with half a window more at either end, where its first and last frames hang over."""
    margin = frontend.window // 2
    return nn.functional.pad(waveform, (margin, margin), mode="reflect")
