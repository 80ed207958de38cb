"""From samples to the pictures a network sees: cut a chunk, make its spectrogram, standardise it.

A chunk is cut out of the samples, not out of a finished spectrogram: only the samples that its frames touch
are transformed. The frames are those of the whole clip's centred spectrogram, which reflects the clip at both
ends.
"""

import warnings
from collections.abc import Iterable

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor, nn

from humtune.config import Spectrogram

POWER_FLOOR = 1e-10  # -100 dB: below the quantisation noise of 16 bits, above float32's own

GROUP = 8  # chunks transformed at a time: their Fourier transforms stay in a processor's cache


def cut(clip: NDArray[np.int16], start: int, spectrogram: Spectrogram) -> NDArray[np.int16]:
    """Samples under the frames [start, start + chunk_frames) of a clip's centred spectrogram.

    Returns `spectrogram.chunk_samples` samples, reflected where a frame hangs over an end of the clip.
    """
    first = start * spectrogram.hop - spectrogram.n_fft // 2
    last = first + spectrogram.chunk_samples
    if first >= 0 and last <= len(clip):
        return clip[first:last]
    index = np.abs(np.arange(first, last))
    return clip[np.where(index < len(clip), index, 2 * (len(clip) - 1) - index)]


def random_starts(
    frames: NDArray[np.int64], chunk_frames: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A uniformly random first frame for each clip of so many frames (paper §3.1, training)."""
    return rng.integers(0, frames - chunk_frames, endpoint=True)


def equispaced_starts(frames: int, chunk_frames: int, chunks: int) -> list[int]:
    """First frames of `chunks` chunks spread from a clip's first frame to its last (paper §3.1, test)."""
    return [(frames - chunk_frames) * i // max(chunks - 1, 1) for i in range(chunks)]


def mel_filters(spectrogram: Spectrogram, sample_rate: int) -> Tensor:
    """HTK mel filters [n_fft // 2 + 1, n_mels]."""
    with warnings.catch_warnings():  # the paper's own settings leave filters empty: search says so once
        warnings.filterwarnings("ignore", message=".*mel filterbank.*")
        filters: Tensor = torchaudio.functional.melscale_fbanks(
            spectrogram.n_fft // 2 + 1, 0.0, sample_rate / 2, spectrogram.bins, sample_rate
        )
    return filters


class Frontend(nn.Module):
    """Samples [B, n] (int16, or float in [-1, 1]) to standardised pictures [B, 1, bins, frames]."""

    window: Tensor
    mel: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, spectrogram: Spectrogram, sample_rate: int) -> None:
        super().__init__()
        self.spectrogram = spectrogram
        self.register_buffer("window", torch.hann_window(spectrogram.n_fft), persistent=False)
        mel = mel_filters(spectrogram, sample_rate) if spectrogram.n_mels else torch.empty(0)
        self.register_buffer("mel", mel, persistent=False)
        self.register_buffer("mean", torch.zeros(spectrogram.bins))
        self.register_buffer("std", torch.ones(spectrogram.bins))

    def picture(self, samples: Tensor) -> Tensor:
        """Spectrogram [B, bins, frames] of samples [B, n], float32, neither padded nor standardised.

        In a test the Fourier transform is float64: float32's rounding differs from library to library, and in
        the quiet bins of linear pictures it moves scores by a thousandth of their spread.
        """
        precision = torch.float32 if self.training else torch.float64
        scale = 1 / 32_768 if samples.dtype == torch.int16 else 1.0  # exact in the window too, and cheaper
        spectrogram = self.spectrogram
        spectrum = torch.stft(
            samples.to(precision),
            spectrogram.n_fft,
            spectrogram.hop,
            window=self.window.to(precision) * scale,
            center=False,
            return_complex=True,
        )
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).float()
        if spectrogram.n_mels:
            power = self.mel.T @ power
        return power.clamp_(min=POWER_FLOOR).log10_().mul_(10) if spectrogram.db else power

    def centred(self, samples: Tensor) -> Tensor:
        """Spectrogram of whole clips [B, n], reflected at both ends: `frames(n)` frames."""
        margin = self.spectrogram.n_fft // 2
        return self.picture(nn.functional.pad(samples, (margin, margin), mode="reflect"))

    def standardise(self, picture: Tensor) -> Tensor:
        """Each row brought to the mean 0 and deviation 1 that it has over the training clips."""
        return (picture - self.mean[:, None]).div_(self.std[:, None])

    def forward(self, samples: Tensor) -> Tensor:
        """Standardised pictures, ready for the network."""
        pictures = [self.standardise(self.picture(some)) for some in torch.split(samples, GROUP)]
        return torch.cat(pictures).unsqueeze(1)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set the rows' mean and deviation from batches of training samples [B, n].

        Rows that never change (empty mel filters) get the deviation 1 and so become 0.
        """
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for samples in batches:
            picture = self.picture(samples).double()
            count += picture.shape[0] * picture.shape[2]
            total += picture.sum(dim=(0, 2))
            squares += picture.square().sum(dim=(0, 2))
        mean = total / count
        variance = squares / count - mean.square()
        floor = 1e-10 * squares / count  # below it the variance is only rounding
        self.mean.copy_(mean)
        self.std.copy_(torch.where(variance > floor, variance, torch.ones_like(variance)).sqrt())
