"""What an encoder wants of a recording and gives of it: the settings in the file beside its weights."""

from math import gcd
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from humtune.config import SAMPLE_RATE, Settings
from humtune.errors import UsageError

KINDS = ("waveform", "log_mel")
RATE_STEP = 25  # Hz: the filters of a resampling grow with what the two rates don't share


class WaveformInput(Settings):
    """Samples, as an encoder wants them."""

    kind: Literal["waveform"] = "waveform"
    seconds: float = Field(10.0, gt=0, le=60, description="in one block")
    level: Literal["as it is", "peak", "standard"] = Field(
        "as it is", description="peak: recordings to a peak of 1; standard: blocks to mean 0, deviation 1"
    )
    channel: bool = Field(False, description="whether it wants [1, 1, samples] instead of [1, samples]")

    def samples(self, rate: int) -> int:
        """Samples in one block at so many Hz."""
        return max(1, round(self.seconds * rate))


class LogMel(Settings):
    """A log-mel spectrogram, as an encoder wants it."""

    kind: Literal["log_mel"] = "log_mel"
    frames: int = Field(ge=1, description="in one block")
    n_mels: int = Field(ge=1, description="mel filters")
    n_fft: int = Field(ge=16, le=16_384, multiple_of=2, description="samples in one Fourier transform")
    hop: int = Field(ge=1, description="samples between two frames")
    window: int | None = Field(None, ge=2, description="samples in one frame; null: n_fft")
    shape: Literal["hann", "hamming", "povey"] = Field("hann", description="of the window")
    f_min: float = Field(0.0, ge=0, description="Hz where the lowest mel filter begins")
    f_max: float | None = Field(None, gt=0, description="Hz where the highest one ends; null: half the rate")
    mel: Literal["htk", "slaney"] = Field("htk", description="scale")
    norm: Literal["none", "slaney", "unit_sum"] = Field("none", description="of the mel filters")
    kaldi: bool = Field(False, description="frames, mean, pre-emphasis and filters as Kaldi has them")
    centred: bool = Field(False, description="whether frames hang over a block's ends, which are reflected")
    power: Literal[1, 2] = Field(2, description="of the spectrum's magnitude")
    level: Literal["as it is", "peak"] = Field("as it is", description="peak: recordings to a peak of 1")
    gain: float = Field(1.0, gt=0, description="of the samples, which are in [-1, 1]")
    log: Literal["ln", "log10", "db"] = "ln"
    scale: float = Field(1.0, gt=0, description="of the power, before the logarithm")
    add: float = Field(0.0, ge=0, description="to the power, before the logarithm")
    floor: float = Field(1e-10, gt=0, description="of the power, before the logarithm")
    top: float | None = Field(None, gt=0, description="of the logarithm, that a block reaches below its peak")
    mean: float = Field(0.0, description="taken off the logarithm")
    std: float = Field(1.0, gt=0, description="by which it is then divided")
    time_first: bool = Field(False, description="whether it wants [frames, mels] instead of [mels, frames]")
    channel: bool = Field(False, description="whether it wants a channel: [1, 1, …] instead of [1, …]")

    @property
    def window_samples(self) -> int:
        """Samples in one frame."""
        return self.window or self.n_fft

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.window_samples > self.n_fft:
            raise ValueError(f"window must be n_fft = {self.n_fft} or less, got {self.window}")
        if self.kaldi and (self.centred or self.mel != "htk" or self.norm != "none"):
            raise ValueError("kaldi has its own frames and filters; leave out centred, mel and norm")
        if self.centred and self.samples(0) <= self.n_fft // 2:
            raise ValueError("too few frames to be reflected at a block's ends; choose more frames")
        return self

    def samples(self, rate: int) -> int:
        """Samples that the frames of one block touch, whatever the rate."""
        return (self.frames - 1) * self.hop + (0 if self.centred else self.window_samples)


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)


class Description(Settings):
    """An encoder beside its weights: what goes in, and what comes out."""

    model: str = Field(description="the file beside this one: .onnx, or .pt2 of torch.export")
    rate: int = Field(ge=1_000, le=192_000, multiple_of=RATE_STEP, description="Hz")
    input: Annotated[
        Annotated[WaveformInput, Tag(KINDS[0])] | Annotated[LogMel, Tag(KINDS[1])],
        Discriminator(
            _kind, custom_error_type="kind", custom_error_message="kind should be waveform or log_mel"
        ),
    ]
    overlap: float = Field(0.0, ge=0, le=0.9, description="share of a block that the next one repeats")
    embedding: int = Field(ge=1, description="length of one: the output is [1, frames, k] or [1, k]")
    licence: str = Field(description="of the weights")
    source: str = Field("", description="where they are from")

    @field_validator("model")
    @classmethod
    def _has_a_format(cls, model: str) -> str:
        if Path(model).suffix not in (".onnx", ".pt2"):
            raise ValueError(f"{model} should be a file of the kind .onnx or .pt2")
        return model

    @model_validator(mode="after")
    def _fits_the_rate(self) -> Self:
        if isinstance(self.input, LogMel):
            highest, f_min = self.rate / 2, self.input.f_min
            f_max = highest if self.input.f_max is None else self.input.f_max
            if f_max > highest:
                raise ValueError(f"f_max must be half of rate = {self.rate} or less, got {f_max:g}")
            if f_min >= f_max:
                raise ValueError(f"f_min must be below f_max = {f_max:g}, got {f_min:g}")
        return self

    @property
    def block(self) -> int:
        """Samples in one block at the encoder's rate."""
        return self.input.samples(self.rate)

    @property
    def hop(self) -> int:
        """Samples between the beginnings of two blocks, at most."""
        return max(1, round((1 - self.overlap) * self.block))

    @property
    def several(self) -> int:
        """Samples of a recording at humtune's rate that has three blocks."""
        return -(-(self.block + 2 * self.hop) * SAMPLE_RATE // self.rate)

    @property
    def steps(self) -> tuple[int, int]:
        """The rates of recordings and encoder, without what they share."""
        shared = gcd(SAMPLE_RATE, self.rate)
        return SAMPLE_RATE // shared, self.rate // shared


def read_description(path: Path) -> Description:
    """A description from its file; a UsageError that says what is wrong with it."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"weights: {path} is not there; give the path of an encoder's description") from None
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"weights: {path}: can't be read as YAML ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(tree, dict):
        raise UsageError(
            f"weights: {path}: should be settings of an encoder (model, rate, input, embedding …)"
        )
    try:
        return Description.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"weights: {path}: {in_words(error)}") from error


def in_words(error: ValidationError) -> str:
    """The first thing that is wrong with a description: where, and what."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in KINDS)
    said = first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said
