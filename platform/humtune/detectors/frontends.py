"""Front ends, from samples to what a network sees: cut a chunk, make its spectrogram, standardise it.

A chunk is cut out of the samples, not out of a finished spectrogram: only the samples that its frames touch
are transformed. The frames are those of the whole clip's centred spectrogram, which reflects the clip at both
ends.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable
from typing import ClassVar

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from humtune.config import SAMPLE_RATE, TEST_CHUNKS
from humtune.detectors.recipe import Part
from humtune.errors import UsageError
from humtune.names import count
from humtune.sounds.sound_file import FULL_SCALE
from humtune.sounds.table import ClipTable

POWER_FLOOR = 1e-10  # -100 dB: below the quantisation noise of 16 bits, above float32's own
GROUP = 8  # chunks transformed at a time: their Fourier transforms stay in a processor's cache


class Frontend(Part, ABC):
    """Settings of a front end. Its frames are those of a clip's centred spectrogram, in even steps."""

    gives: ClassVar[tuple[str, ...]] = ("spectrogram",)  # its tensors, in words

    chunk_frames: int = Field(512, ge=16, description="frames in one chunk: the paper's L")

    @property
    @abstractmethod
    def hop_samples(self) -> int:
        """Samples between two frames."""

    @property
    @abstractmethod
    def window(self) -> int:
        """Samples that one frame touches, half of them before its middle."""

    @property
    def size(self) -> str:
        """What the time of a step depends on, in words."""
        return f"{self.kind}, {self.chunk_frames} frames"

    @abstractmethod
    def build(self) -> "FrontendLayer":
        """What makes the chunks' tensors."""

    def remarks(self) -> tuple[str, ...]:
        """What whoever chose these settings should know, a line each."""
        return ()

    @property
    def chunk_samples(self) -> int:
        """Samples that the frames of one chunk touch."""
        return (self.chunk_frames - 1) * self.hop_samples + self.window

    def frames(self, samples: int) -> int:
        """Frames of a clip's centred spectrogram: the paper's T."""
        return 1 + samples // self.hop_samples

    def cut(self, clip: NDArray[np.int16], start: int) -> NDArray[np.int16]:
        """Samples under the frames [start, start + chunk_frames) of a clip's centred spectrogram.

        Returns `chunk_samples` samples, reflected where a frame hangs over an end of the clip.
        """
        first = start * self.hop_samples - self.window // 2
        last = first + self.chunk_samples
        if first >= 0 and last <= len(clip):
            return clip[first:last]
        index = np.abs(np.arange(first, last))
        return clip[np.where(index < len(clip), index, 2 * (len(clip) - 1) - index)]


class FrontendLayer(nn.Module, ABC):
    """A front end at work, on chunks in a fit and on whole clips in a graph: the same numbers either way."""

    @property
    @abstractmethod
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Channels, rows and frames of each tensor that it makes of a chunk."""

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """Layers with equal keys make equal `whole` of a clip, whatever they were fitted to."""

    @abstractmethod
    def forward(self, samples: Tensor) -> tuple[Tensor, ...]:
        """Chunks [B, chunk_samples] (int16, or float in [-1, 1]) to a tensor [B, …] of each shape."""

    @abstractmethod
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn what it needs of batches of training samples [B, chunk_samples]: means and deviations."""

    @abstractmethod
    def whole(self, waveform: Tensor) -> Tensor:
        """What all chunks of a clip are cut from, of its waveform [1, n]."""

    @abstractmethod
    def chunks(self, whole: Tensor) -> tuple[Tensor, ...]:
        """A clip's equispaced chunks: a tensor [c, …] of each shape."""


class Spectrogram(Frontend):
    """The spectrogram that a network sees of a chunk of sound (paper Table 2; defaults: its ToyCar row)."""

    kind: str = "spectrogram"
    n_fft: int = Field(256, ge=16, le=16_384, description="samples in one Fourier transform")
    hop: int | None = Field(None, ge=1, description="samples between two frames; null: half of n_fft")
    n_mels: int | None = Field(256, ge=8, description="mel filters; null keeps the linear bins")
    f_min: float = Field(0.0, ge=0, description="Hz where the lowest mel filter begins")
    f_max: float = Field(SAMPLE_RATE / 2, le=SAMPLE_RATE / 2, description="Hz where the highest one ends")
    db: bool = Field(True, description="10 log10 of the power; false keeps the power itself")
    highpass: float = Field(0.0, ge=0, lt=SAMPLE_RATE / 2, description="Hz; lower bins are silenced")

    @model_validator(mode="after")
    def _can_be_made(self) -> "Spectrogram":
        if self.n_fft % 2:
            raise ValueError(f"n_fft must be even, got {self.n_fft}")
        if self.hop_samples > self.n_fft:
            raise ValueError(f"hop must be n_fft = {self.n_fft} or less, got {self.hop}")
        least = self.n_fft // 2 // self.hop_samples + 2
        if self.chunk_frames < least:  # in half a window of sound there is nothing to reflect
            sizes = f"n_fft = {self.n_fft} and hop = {self.hop}"
            raise ValueError(f"chunk_frames must be {least} or more with {sizes}, got {self.chunk_frames}")
        if self.f_min >= self.f_max:
            raise ValueError(f"f_min must be below f_max = {self.f_max:g}, got {self.f_min:g}")
        if self.n_mels is None and (self.f_min, self.f_max) != (0, SAMPLE_RATE / 2):
            raise ValueError("f_min and f_max bound mel filters, and n_mels = null has none; leave them out")
        return self

    @property
    def hop_samples(self) -> int:
        """As a rule half a window, so that a mel row of Table 2 spans 4.096 s."""
        return self.hop or self.n_fft // 2

    @property
    def window(self) -> int:
        """Samples of one Fourier transform."""
        return self.n_fft

    @property
    def bins(self) -> int:
        """Rows of the spectrogram: the paper's F."""
        return self.n_mels or self.n_fft // 2 + 1

    @property
    def size(self) -> str:
        """Rows × frames."""
        return f"{self.bins}×{self.chunk_frames}"

    def build(self) -> "SpectrogramLayer":
        """The layer that makes it, of recordings at humtune's sample rate."""
        return SpectrogramLayer(self, SAMPLE_RATE)

    def remarks(self) -> tuple[str, ...]:
        """That there are mel filters which hold nothing."""
        empty = empty_mels(self)
        at = f"at n_fft = {self.n_fft}"
        return (f"{count(empty, 'empty mel band')} of {self.n_mels} {at}",) if empty else ()


def check_chunks(frontend: Frontend, table: ClipTable, lengths: NDArray[np.int64]) -> None:
    """Raise a UsageError where a chunk is longer than the shortest of a machine's clips (samples [N])."""
    shortest = int(lengths.argmin())
    frames = frontend.frames(int(lengths[shortest]))
    if frontend.chunk_frames > frames:
        raise UsageError(
            f"{table.machine}: spectrogram.chunk_frames = {frontend.chunk_frames} is longer than the "
            f"shortest clip, {table.name[shortest]}: {lengths[shortest] / SAMPLE_RATE:.2f} s are {frames} "
            f"frames, {frontend.hop_samples} samples apart; choose chunk_frames ≤ {frames}, as with "
            f"--set spectrogram.chunk_frames={frames}"
        )


def graph_starts(frames: int, chunk_frames: int) -> Tensor:
    """First frames [5] of a clip's equispaced chunks, in a graph."""
    return torch.arange(TEST_CHUNKS) * (frames - chunk_frames) // (TEST_CHUNKS - 1)


def empty_mels(spectrogram: Spectrogram) -> int:
    """Mel filters too narrow to hold a Fourier bin, from one neighbour's peak to the other's: silent rows."""
    if spectrogram.n_mels is None:
        return 0
    bins = np.linspace(0.0, SAMPLE_RATE / 2, spectrogram.n_fft // 2 + 1)
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (spectrogram.f_min, spectrogram.f_max))
    mels = np.linspace(low, high, spectrogram.n_mels + 2)
    peaks = 700 * (10 ** (mels / 2595) - 1)
    return int((bins[np.searchsorted(bins, peaks[:-2], side="right")] >= peaks[2:]).sum())


def mel_filters(settings: Spectrogram, sample_rate: int) -> Tensor:
    """HTK mel filters [n_fft // 2 + 1, n_mels]."""
    with warnings.catch_warnings():  # the paper's own settings leave filters empty: search says so once
        warnings.filterwarnings("ignore", message=".*mel filterbank.*")
        filters: Tensor = torchaudio.functional.melscale_fbanks(
            settings.n_fft // 2 + 1, settings.f_min, settings.f_max, settings.bins, sample_rate
        )
    return filters


class SpectrogramLayer(FrontendLayer):
    """Samples [B, n] (int16, or float in [-1, 1]) to standardised spectrograms [B, 1, bins, frames]."""

    window: Tensor
    mel: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, settings: Spectrogram, sample_rate: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("window", torch.hann_window(settings.n_fft), persistent=False)
        mel = mel_filters(settings, sample_rate) if settings.n_mels else torch.empty(0)
        self.register_buffer("mel", mel, persistent=False)
        self.register_buffer("mean", torch.zeros(settings.bins))
        self.register_buffer("std", torch.ones(settings.bins))

    @property
    def shapes(self) -> tuple[tuple[int, int, int]]:
        """One channel of bins × frames."""
        return ((1, self.settings.bins, self.settings.chunk_frames),)

    @property
    def key(self) -> Hashable:
        """All settings but how much of the spectrogram a chunk takes."""
        return self.settings.model_copy(update={"chunk_frames": 0})

    def spectrogram(self, samples: Tensor) -> Tensor:
        """Spectrogram [B, bins, frames] of samples [B, n], float32, neither padded nor standardised.

        In a test the Fourier transform is float64: float32's rounding differs from library to library, and in
        the quiet bins of linear spectrograms it moves scores by a thousandth of their spread.
        """
        precision = torch.float32 if self.training else torch.float64
        scale = 1 / FULL_SCALE if samples.dtype == torch.int16 else 1.0  # exact in the window, cheaper
        settings = self.settings
        spectrum = torch.stft(
            samples.to(precision),
            settings.n_fft,
            settings.hop_samples,
            window=self.window.to(precision) * scale,
            center=False,
            return_complex=True,
        )
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).float()
        if settings.highpass:
            below = math.ceil(settings.highpass * settings.n_fft / SAMPLE_RATE)
            power = nn.functional.pad(power[:, below:], (0, 0, below, 0))
        if settings.n_mels:
            power = self.mel.T @ power
        return power.clamp_(min=POWER_FLOOR).log10_().mul_(10) if settings.db else power

    def whole(self, waveform: Tensor) -> Tensor:
        """The spectrogram [bins, `frames(n)`] of a whole clip [1, n], reflected at both ends."""
        margin = self.settings.n_fft // 2
        return self.spectrogram(nn.functional.pad(waveform, (margin, margin), mode="reflect"))[0]

    def chunks(self, whole: Tensor) -> tuple[Tensor]:
        """Five equispaced, standardised chunks [5, 1, bins, chunk_frames] of a clip's spectrogram."""
        spectrogram, length = self.standardise(whole), self.settings.chunk_frames
        starts = graph_starts(spectrogram.shape[1], length)[:, None]
        return (spectrogram[:, starts + torch.arange(length)].transpose(0, 1).unsqueeze(1),)

    def standardise(self, spectrogram: Tensor) -> Tensor:
        """Each row brought to the mean 0 and deviation 1 that it has over the training clips."""
        return (spectrogram - self.mean[:, None]).div_(self.std[:, None])

    def forward(self, samples: Tensor) -> tuple[Tensor]:
        """Standardised spectrograms, ready for the network."""
        found = [self.standardise(self.spectrogram(some)) for some in torch.split(samples, GROUP)]
        return (torch.cat(found).unsqueeze(1),)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set the rows' mean and deviation from batches of training samples [B, n].

        Rows that never change (empty mel filters) get the deviation 1 and so become 0.
        """
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for samples in batches:
            found = self.spectrogram(samples).double()
            count += found.shape[0] * found.shape[2]
            total += found.sum(dim=(0, 2))
            squares += found.square().sum(dim=(0, 2))
        mean = total / count
        variance = squares / count - mean.square()
        floor = 1e-10 * squares / count  # below it the variance is only rounding
        self.mean.copy_(mean)
        self.std.copy_(torch.where(variance > floor, variance, torch.ones_like(variance)).sqrt())
