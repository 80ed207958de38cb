"""A front end of several resolutions: spectrograms by windows of different length, and one spectrum."""

import math
from collections.abc import Hashable, Iterable
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from humtune.config import SAMPLE_RATE
from humtune.detectors.frontends import GROUP, FrontendLayer
from humtune.detectors.waveform import Waveform, equispaced, reflected, scaled


class Multiresolution(Waveform):
    """Magnitudes of Fourier transforms: of windows, less their mean over time, and of a chunk as a whole.

    The spectrograms tell what changes over time, the spectrum what doesn't. It needs chunks of one length:
    from longer clips they are cropped, as in every front end.
    """

    gives: ClassVar[tuple[str, ...]] = ("multiresolution",)

    kind: str = "multiresolution"
    n_ffts: tuple[int, ...] = Field(
        (256, 1024, 4096), max_length=8, description="windows, samples; each moves on by its half"
    )
    f_min: float = Field(200.0, ge=0, description="Hz where the spectrograms begin")
    f_max: float = Field(SAMPLE_RATE / 2, le=SAMPLE_RATE / 2, description="Hz where they end")
    spectrum: bool = Field(True, description="whether the whole chunk's spectrum is beside them")

    @model_validator(mode="after")
    def _can_be_made(self) -> "Multiresolution":
        if not self.n_ffts and not self.spectrum:
            raise ValueError(
                "n_ffts = [] and spectrum = false leave nothing; name a window or take the spectrum"
            )
        for n_fft in self.n_ffts:
            if n_fft < 16 or n_fft % 2:
                raise ValueError(f"n_ffts must be even and 16 or more, got {n_fft}")
            if 2 * n_fft > self.chunk_samples:
                raise ValueError(
                    f"n_ffts must be at most half of a chunk, chunk_frames · frame_samples / 2 = "
                    f"{self.chunk_samples // 2}, got {n_fft}"
                )
            first, last = self.bins(n_fft)
            if last < first:
                raise ValueError(
                    f"f_min = {self.f_min:g} and f_max = {self.f_max:g} leave no bin of n_fft = {n_fft}"
                )
        return self

    def bins(self, n_fft: int) -> tuple[int, int]:
        """The first and the last bin of a spectrogram."""
        return math.ceil(self.f_min * n_fft / SAMPLE_RATE), math.floor(self.f_max * n_fft / SAMPLE_RATE)

    @property
    def size(self) -> str:
        """Windows, and samples of a chunk."""
        parts = [*map(str, self.n_ffts), *(["spectrum"] if self.spectrum else [])]
        return f"{' + '.join(parts)} of {super().size}"

    def build(self) -> "MultiresolutionLayer":
        """The layer that makes them, of recordings at humtune's sample rate."""
        return MultiresolutionLayer(self)


class MultiresolutionLayer(FrontendLayer):
    """Samples [B, n] to standardised spectrograms [B, 1, bins, frames] and spectra [B, 1, 1, n // 2 + 1].

    Each is brought to the mean 0 and deviation 1 that all of its values have over the training clips: loud
    bins stay loud.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: Multiresolution) -> None:
        super().__init__()
        self.settings = settings
        for n_fft in settings.n_ffts:
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("mean", torch.zeros(len(self.shapes)))
        self.register_buffer("std", torch.ones(len(self.shapes)))

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """One channel of bins × frames of each window, one row of the spectrum."""
        settings, samples = self.settings, self.settings.chunk_samples
        found = []
        for n_fft in settings.n_ffts:
            first, last = settings.bins(n_fft)
            found.append((1, last - first + 1, (samples - n_fft) // (n_fft // 2) + 1))
        return (*found, (1, 1, samples // 2 + 1)) if settings.spectrum else tuple(found)

    @property
    def key(self) -> Hashable:
        """The frame, by which a clip is reflected at its ends."""
        return self.settings.frame_samples

    def magnitudes(self, samples: Tensor) -> list[Tensor]:
        """What is made of samples [B, n], float32 [B, rows, …], not standardised; in a test from float64."""
        x = scaled(samples, torch.float32 if self.training else torch.float64)
        found = [self._spectrogram(x, n_fft) for n_fft in self.settings.n_ffts]
        return [*found, _magnitude(torch.fft.rfft(x))[:, None]] if self.settings.spectrum else found

    def _spectrogram(self, x: Tensor, n_fft: int) -> Tensor:
        window = self.get_buffer(f"window_{n_fft}").to(x.dtype)
        first, last = self.settings.bins(n_fft)
        spectrum = torch.stft(x, n_fft, n_fft // 2, window=window, center=False, return_complex=True)
        magnitude = _magnitude(spectrum)[:, first : last + 1]
        return magnitude - magnitude.mean(dim=2, keepdim=True)

    def forward(self, samples: Tensor) -> tuple[Tensor, ...]:
        """All of them, ready for the network."""
        parts = [self.magnitudes(some) for some in torch.split(samples, GROUP)]
        return tuple(
            ((torch.cat(found) - mean) / std).unsqueeze(1)
            for found, mean, std in zip(zip(*parts, strict=True), self.mean, self.std, strict=True)
        )

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set the mean and the deviation of each."""
        sums = torch.zeros(3, len(self.shapes), dtype=torch.float64, device=self.mean.device)
        for samples in batches:
            for i, values in enumerate(x.double() for x in self.magnitudes(samples)):
                sums[0, i] += values.numel()
                sums[1, i] += values.sum()
                sums[2, i] += values.square().sum()
        count, total, squares = sums
        variance = squares / count - (total / count).square()
        self.mean.copy_(total / count)
        self.std.copy_(torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt())

    def whole(self, waveform: Tensor) -> Tensor:
        """A clip's samples [n + frame], reflected at both ends."""
        return reflected(waveform, self.settings)[0]

    def chunks(self, whole: Tensor) -> tuple[Tensor, ...]:
        """Those of five equispaced chunks of a clip's samples."""
        return self(equispaced(whole, self.settings))  # type: ignore[no-any-return]


def _magnitude(spectrum: Tensor) -> Tensor:
    """|z| as float32 of a complex tensor."""
    return (spectrum.real.square() + spectrum.imag.square()).sqrt().float()
