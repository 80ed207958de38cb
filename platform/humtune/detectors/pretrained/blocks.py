"""Recordings in the blocks of an encoder: resampled, cut, and made what it wants of each."""

import warnings
from collections.abc import Hashable, Iterable

import torch
import torchaudio
from torch import Tensor, nn

from humtune.detectors.frontends import FrontendLayer
from humtune.detectors.pretrained.description import Description, LogMel, WaveformInput
from humtune.detectors.waveform import scaled

LEAST_SAMPLES = 400  # at humtune's rate: of less there is hardly a sound
QUIETEST = 1e-8  # a peak or deviation that nothing is divided by
LOBES = 64  # of the sinc on either side, when a recording is resampled


class BlockLayer(FrontendLayer):
    """A recording to what the encoder gets of its blocks.

    They begin evenly from the recording's first sample to the last block that it holds, no more than a hop
    apart: all of it counts. One shorter than a block is repeated.
    """

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        self.resample = Resample(*description.steps)
        wanted = description.input
        self.make: nn.Module = (
            LogMelLayer(wanted, description.rate)
            if isinstance(wanted, LogMel)
            else WaveformInputLayer(wanted)
        )

    @property
    def shapes(self) -> tuple[tuple[int, int, int]]:
        """One channel of mels × frames, or of samples."""
        wanted = self.description.input
        rows = (wanted.n_mels, wanted.frames) if isinstance(wanted, LogMel) else (1, self.description.block)
        return ((1, *rows),)

    @property
    def key(self) -> Hashable:
        """How a recording is resampled, and to what level."""
        return "blocks", self.description.rate, self.description.input.level == "peak"

    def forward(self, samples: Tensor) -> tuple[Tensor]:
        """Blocks [B, n] of samples at the encoder's rate to what it gets."""
        return (self.make(scaled(samples, torch.float32)),)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Nothing to learn: what the encoder wants was fixed when it was trained."""

    def whole(self, waveform: Tensor) -> Tensor:
        """The recording [1, n] at the encoder's rate [m]."""
        samples: Tensor = self.resample(waveform[0])
        if self.description.input.level == "peak":
            return samples / samples.abs().amax(dim=0).clamp_min(QUIETEST)
        return samples

    def chunks(self, whole: Tensor) -> tuple[Tensor]:
        """What the encoder gets of each block [c, …] of a recording [m]."""
        length, block = whole.shape[0], self.description.block
        starts = block_starts(length, block, self.description.hop, whole.device)
        index = starts[:, None] + torch.arange(block, device=whole.device)
        return self.forward(
            whole[index % torch.scalar_tensor(length, dtype=torch.int64, device=whole.device)]
        )


def block_starts(length: int, block: int, hop: int, device: torch.device) -> Tensor:
    """First samples [c] of the blocks of a recording of so many samples, which a graph may not know yet."""
    rest: int = torch.sym_max(length - block, 0)  # type: ignore[assignment]
    count = 1 + (rest + hop - 1) // hop
    last: int = torch.sym_max(count - 1, 1)  # type: ignore[assignment]
    return torch.arange(count, device=device) * rest // last


class Resample(nn.Module):
    """Samples [n] to those [n · new / old, rounded up] of another rate, by a windowed sinc."""

    kernel: Tensor

    def __init__(self, old: int, new: int) -> None:
        super().__init__()
        self.old, self.new = old, new
        if old != new:
            made = torchaudio.transforms.Resample(
                old,
                new,
                resampling_method="sinc_interp_kaiser",
                lowpass_filter_width=LOBES,
                rolloff=0.95,
                dtype=torch.float64,
            )
            self.margin = made.width
            self.register_buffer("kernel", made.kernel.float(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """The samples at the other rate."""
        if self.old == self.new:
            return samples
        padded = nn.functional.pad(samples[None, None], (self.margin, self.margin + self.old))
        found = nn.functional.conv1d(padded, self.kernel, stride=self.old)  # [1, new, steps]
        return found[0].T.reshape(-1)[: (samples.shape[0] * self.new + self.old - 1) // self.old]


class WaveformInputLayer(nn.Module):
    """Blocks [B, n], at the level and in the shape that an encoder wants."""

    def __init__(self, settings: WaveformInput) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, blocks: Tensor) -> Tensor:
        """[B, n] or [B, 1, n]."""
        if self.settings.level == "standard":
            off = blocks - blocks.mean(dim=1, keepdim=True)
            blocks = off / (off.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        return blocks.unsqueeze(1) if self.settings.channel else blocks


class LogMelLayer(nn.Module):
    """Blocks [B, n] to log-mel spectrograms; the spectrum is float64, as in the tests of other families."""

    window: Tensor
    mel: Tensor
    index: Tensor
    transform: Tensor

    def __init__(self, settings: LogMel, rate: int) -> None:
        super().__init__()
        self.settings = settings
        window = _window(settings)
        mel = _kaldi_filters(settings, rate) if settings.kaldi else _filters(settings, rate)
        if settings.kaldi:
            starts = settings.hop * torch.arange(settings.frames)
            index = starts[:, None] + torch.arange(settings.window_samples)
            self.register_buffer("index", index, persistent=False)
            self.register_buffer("transform", _kaldi_transform(window, settings.n_fft), persistent=False)
        else:
            over = settings.n_fft - len(window)
            window = nn.functional.pad(window, (over // 2, over - over // 2))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("mel", mel, persistent=False)

    def forward(self, blocks: Tensor) -> Tensor:
        """[B, mels, frames], or as else the encoder wants it."""
        wanted = self.settings
        power = self.power(blocks.double() * wanted.gain)
        if wanted.power == 1:
            power = power.sqrt()
        values = ((self.mel @ power.float()) * wanted.scale + wanted.add).clamp_min(wanted.floor)
        match wanted.log:
            case "ln":
                values = values.log()
            case "log10":
                values = values.log10()
            case _:
                values = 10 * values.log10()
        if wanted.top is not None:
            values = torch.maximum(values, values.amax(dim=(1, 2), keepdim=True) - wanted.top)
        values = (values - wanted.mean) / wanted.std
        if wanted.time_first:
            values = values.transpose(1, 2)
        return values.unsqueeze(1) if wanted.channel else values

    def power(self, blocks: Tensor) -> Tensor:
        """Power [B, bins, frames] of blocks [B, n], float64."""
        wanted = self.settings
        if wanted.kaldi:
            real, imaginary = (blocks[:, self.index] @ self.transform).chunk(2, dim=2)
            return (real.square() + imaginary.square()).transpose(1, 2)
        if wanted.centred:
            margin = wanted.n_fft // 2
            blocks = nn.functional.pad(blocks, (margin, margin), mode="reflect")
        spectrum = torch.stft(
            blocks, wanted.n_fft, wanted.hop, window=self.window, center=False, return_complex=True
        )
        return spectrum.real.square() + spectrum.imag.square()


def _window(settings: LogMel) -> Tensor:
    """The window [samples], float64."""
    make = torch.hamming_window if settings.shape == "hamming" else torch.hann_window
    window = make(settings.window_samples, periodic=not settings.kaldi, dtype=torch.float64)
    return window.pow(0.85) if settings.shape == "povey" else window


def _filters(settings: LogMel, rate: int) -> Tensor:
    """Mel filters [mels, bins]."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*mel filterbank.*")  # empty ones: the encoder knows them
        filters: Tensor = torchaudio.functional.melscale_fbanks(
            settings.n_fft // 2 + 1,
            settings.f_min,
            settings.f_max or rate / 2,
            settings.n_mels,
            rate,
            norm="slaney" if settings.norm == "slaney" else None,
            mel_scale=settings.mel,
        )
    if settings.norm == "unit_sum":
        filters = filters / filters.sum(dim=0).clamp_min(QUIETEST)
    return filters.T.contiguous()


def _kaldi_filters(settings: LogMel, rate: int) -> Tensor:
    """Kaldi's mel filters [mels, bins], triangles on the mel scale; the highest bin is in none."""
    from torchaudio.compliance import kaldi

    filters, _ = kaldi.get_mel_banks(
        settings.n_mels, settings.n_fft, rate, settings.f_min, settings.f_max or 0.0, 100.0, -500.0, 1.0
    )
    return nn.functional.pad(filters, (0, 1)).float()


def _kaldi_transform(window: Tensor, n_fft: int) -> Tensor:
    """What maps a frame [samples] to real and imaginary parts [2 · bins]: Kaldi's steps, all of them linear.

    The frame's mean is taken off, each sample loses 0.97 of the one before it, then comes the window.
    """
    frames = torch.eye(len(window), dtype=torch.float64)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    spectrum = torch.fft.rfft((frames - 0.97 * before) * window, n=n_fft)
    return torch.cat([spectrum.real, spectrum.imag], dim=1)
