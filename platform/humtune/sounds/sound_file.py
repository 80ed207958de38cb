"""Sound files of any length, whole or read from front to back in blocks: mono, 16 bit, at one rate."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError
from humtune.names import count
from humtune.sounds.compressed import CompressedFile, is_compressed
from humtune.sounds.oddities import Oddities
from humtune.sounds.riff import UNFINISHED, Mended, longer_sizes

FULL_SCALE = 32_768  # of 16 bit samples: a waveform of 1.0
LOUDEST = 16.0  # full scales (24 dB): floats beyond are in other units; up to here they are clipped
RATES = (1_000, 768_000)  # Hz: what says another rate is a damaged header, and would grow without end

_ARRAY = Path("the array")  # what errors call one that is no file
_BLOCK = 1 << 18  # samples of all channels in memory at a time
_UNKNOWN = 1 << 62  # frames from here on are what libsndfile puts for "unknown": a streamed flac
_UNITS = {16: 1 << 15, 24: 1 << 23, 32: 1 << 31}  # bits of a sample -> full scale in its own units
_WHOLE = 2.0  # whole numbers beyond this are in such units too, of a quiet recording
_LOSSY = {  # what libsndfile calls the codecs that take something away
    "VORBIS": "vorbis",
    "OPUS": "opus",
    "GSM610": "gsm",
    **{f"MPEG_LAYER_{'I' * layer}": f"mp{layer}" for layer in (1, 2, 3)},
}
_CUT = re.compile(r"^(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)


def to_flac(samples: NDArray[np.int16], rate: int = SAMPLE_RATE) -> bytes:
    """Samples [n] as a flac file; in memory, because libsndfile by itself says nothing of a full disk."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


class OpenSound:
    """A sound file being read: what its header says, and its samples."""

    def __init__(
        self,
        path: Path,
        file: soundfile.SoundFile | CompressedFile,
        to_rate: int,
        channel: int | None,
        *,
        longer: bool,
    ) -> None:
        self.path, self.to_rate, self.channel = path, to_rate, channel
        self.rate, self.channels = int(file.samplerate), int(file.channels)
        self.frames: int | None = file.frames if file.frames < _UNKNOWN else None  # None: unknown
        self.longer = longer  # than its header promises
        self.lossy = file.lossy if isinstance(file, CompressedFile) else _LOSSY.get(file.subtype, "")  # codec
        changes = []
        if self.channels > 1:
            changes.append(
                f"mixed down from {self.channels} channels"
                if channel is None
                else f"reduced to channel {channel} of {self.channels}"
            )
        if self.rate != to_rate:
            changes.append(f"resampled from {self.rate} Hz to {to_rate} Hz")
        self.changes = tuple(changes)
        self._file = file
        self._oddities = Oddities(self.channels if channel is None else 1)
        if not RATES[0] <= self.rate <= RATES[1]:
            raise UsageError(f"{path}: says {self.rate} Hz; {RATES[0]} to {RATES[1]} Hz can be read")
        if channel is not None and channel > self.channels:
            has = count(self.channels, "channel")
            raise UsageError(f"{path}: has {has}, no channel {channel}; choose another --channel, or mix")
        cut = _CUT.search(file.extra_info)
        if cut and int(cut[2]) < int(cut[1]) < UNFINISHED:
            raise UsageError(f"{path}: truncated, {cut[2]} of {cut[1]} bytes of sound are there")

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """The file's samples at `to_rate`, a block at a time; UsageError where it is no sound after all.

        Together they are what the whole file resampled at once would be, to the bit.
        """
        found = 0
        for wave in self._mono() if self.rate == self.to_rate else self._resampled():
            found += len(wave)
            samples = to_samples(wave)
            self._oddities.block(samples)
            yield samples
        if not found:
            raise UsageError(f"{self.path}: holds less than one sample at {self.to_rate} Hz")

    @property
    def seconds(self) -> float | None:
        """About how long it is, by its header; None where that doesn't say."""
        return getattr(self._file, "seconds", None) if self.frames is None else self.frames / self.rate

    @property
    def silent(self) -> str | None:
        """Once all blocks have passed: why they were no sound, and what to do; None where they were."""
        return self._oddities.silent

    def oddities(self) -> Iterator[str]:
        """Once all blocks have passed: what a listener should know of the sound."""
        if self.longer:
            yield "its header promises less sound than there is, which was read to its end"
        if self.rate < self.to_rate:
            yield f"nothing above {self.rate // 2} Hz in it"
        if self.lossy:
            yield f"compressed ({self.lossy}): what that took away can't be heard any more"
        yield from self._oddities.sentences()

    def _resampled(self) -> Iterator[NDArray[np.float64]]:
        resampler = soxr.ResampleStream(self.rate, self.to_rate, 1, dtype="float64")
        for wave in self._mono():
            yield resampler.resample_chunk(wave)
        yield resampler.resample_chunk(np.empty(0), last=True)

    def _mono(self) -> Iterator[NDArray[np.float64]]:
        """Samples as the file has them, mixed down or of the one channel, in [-1, 1]."""
        dtype = "int16" if self._file.subtype == "PCM_16" else "float64"
        size = max(1, _BLOCK // self.channels)
        read, peak, whole = 0, 0.0, self._file.subtype in ("FLOAT", "DOUBLE")
        while True:
            with _naming(self.path):
                raw = self._file.read(size, dtype=dtype, always_2d=True)
            if not len(raw):
                break
            read += len(raw)
            if self.channel is not None:
                raw = raw[:, self.channel - 1 : self.channel]
            if raw.dtype != np.int16:
                if not np.isfinite(raw).all():
                    raise UsageError(f"{self.path}: holds samples that are not finite")
                peak = max(peak, float(np.abs(raw).max()))
                self._oddities.beyond = peak > 1
                whole = whole and bool((raw == np.rint(raw)).all())
                if peak > LOUDEST:
                    continue  # to its highest peak
            wave = raw.mean(axis=1)
            self._oddities.frames(raw, wave)
            # 16 bits and a few channels: exact in float64, there and back.
            yield wave / FULL_SCALE if raw.dtype == np.int16 else wave
        if peak > LOUDEST or (whole and peak > _WHOLE):
            raise UsageError(
                f"{self.path}: holds samples up to {peak:.6g}, where 1 is full scale; {_mend(peak)}"
            )
        if self.frames is not None and read < self.frames:
            raise UsageError(f"{self.path}: truncated, {read} of {self.frames} samples are there")
        if not read:
            raise UsageError(f"{self.path}: holds no samples")


def _mend(peak: float) -> str:
    """What to do about floats that are in the units of whole samples."""
    for bits, unit in _UNITS.items():
        if peak <= unit:
            return f"write it as {bits} bit, or divide its samples by {unit}"
    return "it is damaged"


def to_samples(wave: NDArray[np.float64]) -> NDArray[np.int16]:
    """A waveform in [-1, 1] as 16 bit samples, rounded; what is louder is clipped."""
    with np.errstate(over="ignore"):
        return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


@contextmanager
def open_sound(path: Path, to_rate: int = SAMPLE_RATE, *, channel: int | None = None) -> Iterator[OpenSound]:
    """Open a sound file to be read at `to_rate` in Hz; UsageError where its header is of no sound.

    libsndfile reads wav, flac, ogg, mp3 and aiff, among others, and PyAV what is compressed in other ways.
    Of several channels one is read, counted from 1, or all of them, mixed down (None).
    """
    with ExitStack() as opened:
        with _naming(path):
            if path.stat().st_size == 0:
                raise UsageError(f"{path}: an empty file")
            file, longer = _opened(path, opened)
        yield OpenSound(path, file, to_rate, channel, longer=longer)


@contextmanager
def open_array(
    wave: ArrayLike, rate: float, to_rate: int = SAMPLE_RATE, *, channel: int | None = None
) -> Iterator[OpenSound]:
    """Open samples [n] or [n, channels] at `rate` in Hz as `open_sound` opens a file that holds them.

    Floats in [-1, 1], or int16; lists and tensors of them too. UsageError where they or the rate are
    something else; of one channel, that is read.
    """
    if not (isinstance(rate, Real) and RATES[0] <= rate <= RATES[1] and rate == int(rate)):
        raise UsageError(f"{_ARRAY}: a rate of {rate!r}; give whole Hz, {RATES[0]} to {RATES[1]}")
    try:
        wave = np.asarray(wave)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of several lengths; a tensor on a GPU
        raise UsageError(f"{_ARRAY}: can't be read as samples ({error})") from error
    if wave.dtype == np.int16:
        subtype = "PCM_16"
    elif np.issubdtype(wave.dtype, np.floating):
        subtype, wave = "DOUBLE", wave.astype(np.float64)
    else:
        raise UsageError(f"{_ARRAY}: holds {wave.dtype}; give floats in [-1, 1], or int16")
    if wave.ndim not in (1, 2) or not wave.size or wave.shape[-1] > len(wave):
        shape = list(wave.shape)
        raise UsageError(f"{_ARRAY}: has the shape {shape}; give samples [n], or [n, channels]")
    stream = io.BytesIO()
    soundfile.write(stream, wave, int(rate), format="W64", subtype=subtype)  # which has no largest size
    stream.seek(0)
    with _Forward(stream) as file:
        yield OpenSound(_ARRAY, file, to_rate, channel if file.channels > 1 else None, longer=False)


def _opened(path: Path, opened: ExitStack) -> tuple[soundfile.SoundFile | CompressedFile, bool]:
    """A file that is closed with `opened`, and whether it is longer than its header promises."""
    if is_compressed(path):
        return opened.enter_context(CompressedFile(path)), False
    sizes = longer_sizes(path)  # also tells why a file can't be opened, which libsndfile doesn't
    name = os.fsencode(path)  # soundfile refuses one that is not UTF-8
    source = opened.enter_context(Mended(path, sizes)) if sizes else name
    return opened.enter_context(_Forward(source)), bool(sizes)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is never sought in: where its length is unknown, seeking would fail."""

    def seekable(self) -> bool:
        """No: soundfile then reads on from where it is."""
        return False


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What goes wrong with a file, in one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: can't be opened ({error.strerror or error})") from error
    except ValueError as error:  # a zero byte in its name
        raise UsageError(f"{path}: can't be opened ({error})") from error
    except soundfile.SoundFileError as error:
        detail = getattr(error, "error_string", str(error)).rstrip(".")
        if "SF_INFO" in detail:
            detail = "its header lacks a rate or channels"
        raise UsageError(f"{path}: can't be read as sound ({detail})") from error


@dataclass(frozen=True, eq=False)
class Recording:
    """One file's samples, and what the file was before."""

    samples: NDArray[np.int16]  # [samples] at the rate that was asked for
    rate: int  # Hz, in the file
    channels: int  # in the file
    changes: tuple[str, ...]  # "mixed down from 2 channels", "resampled from 44100 Hz to 16000 Hz"
    oddities: tuple[str, ...] = ()  # "clipped, more than 0.1% of it at full scale"
    silent: str | None = None  # why there is no sound in it, and what to do; None: there is


def read_recording(path: Path, rate: int = SAMPLE_RATE, *, channel: int | None = None) -> Recording:
    """Read a wav or flac file, resampled to `rate` in Hz; UsageError where it is no sound.

    Of several channels `channel` is read, counted from 1; None: all are mixed down. Mono 16 bit samples at
    the right rate pass bit by bit; anything else is computed in floating point, rounded and clipped.
    """
    with open_sound(path, rate, channel=channel) as sound:
        samples = np.concatenate(list(sound.blocks()))
    oddities = tuple(sound.oddities())
    return Recording(samples, sound.rate, sound.channels, sound.changes, oddities, sound.silent)


def to_waveform(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16 bit samples as float32 in [-1, 1], exactly."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)
