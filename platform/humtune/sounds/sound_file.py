"""Sound files of any length, read from front to back in blocks: mono, 16 bit, at one rate."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError

FULL_SCALE = 32_768  # of 16 bit samples: a waveform of 1.0
RATES = (1_000, 768_000)  # Hz: what says another rate is a damaged header, and would grow without end

_BLOCK = 1 << 18  # samples of all channels in memory at a time
_UNFINISHED = 0x7FFF_0000  # data sizes from here on are what a stream's writer puts for "unknown"
_UNKNOWN = 1 << 62  # frames from here on are what libsndfile puts for "unknown": a streamed flac
_CUT = re.compile(r"^(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)


class OpenSound:
    """A sound file being read: what its header says, and its samples."""

    def __init__(self, path: Path, file: soundfile.SoundFile, to_rate: int) -> None:
        self.path, self.to_rate = path, to_rate
        self.rate, self.channels = int(file.samplerate), int(file.channels)
        self.frames: int | None = file.frames if file.frames < _UNKNOWN else None  # None: not told
        changes = []
        if self.channels > 1:
            changes.append(f"mixed down from {self.channels} channels")
        if self.rate != to_rate:
            changes.append(f"resampled from {self.rate} Hz to {to_rate} Hz")
        self.changes = tuple(changes)
        self._file = file
        if not RATES[0] <= self.rate <= RATES[1]:
            raise UsageError(f"{path}: says {self.rate} Hz; {RATES[0]} to {RATES[1]} Hz can be read")
        cut = _CUT.search(file.extra_info)
        if cut and int(cut[2]) < int(cut[1]) < _UNFINISHED:
            raise UsageError(f"{path}: truncated, {cut[2]} of {cut[1]} bytes of sound are there")

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """The file's samples at `to_rate`, a block at a time; UsageError where it is no sound after all.

        Together they are what the whole file resampled at once would be, to the bit.
        """
        found = 0
        for wave in self._mono() if self.rate == self.to_rate else self._resampled():
            if not np.isfinite(wave).all():
                raise UsageError(f"{self.path}: holds samples that are not finite")
            found += len(wave)
            yield to_samples(wave)
        if not found:
            raise UsageError(f"{self.path}: holds less than one sample at {self.to_rate} Hz")

    def _resampled(self) -> Iterator[NDArray[np.float64]]:
        resampler = soxr.ResampleStream(self.rate, self.to_rate, 1, dtype="float64")
        for wave in self._mono():
            yield resampler.resample_chunk(wave)
        yield resampler.resample_chunk(np.empty(0), last=True)

    def _mono(self) -> Iterator[NDArray[np.float64]]:
        """Samples as the file has them, mixed down, in [-1, 1]."""
        dtype = "int16" if self._file.subtype == "PCM_16" else "float64"
        size = max(1, _BLOCK // self.channels)
        read = 0
        while True:
            with _told(self.path):
                raw = self._file.read(size, dtype=dtype, always_2d=True)
            if not len(raw):
                break
            read += len(raw)
            with np.errstate(over="ignore"):
                wave = raw.mean(axis=1)
            # 16 bits and a few channels: exact in float64, there and back.
            yield wave / FULL_SCALE if raw.dtype == np.int16 else wave
        if self.frames is not None and read < self.frames:
            raise UsageError(f"{self.path}: truncated, {read} of {self.frames} samples are there")
        if not read:
            raise UsageError(f"{self.path}: holds no samples")


def to_samples(wave: NDArray[np.float64]) -> NDArray[np.int16]:
    """A waveform in [-1, 1] as 16 bit samples, rounded; what is louder is clipped."""
    with np.errstate(over="ignore"):
        return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


@contextmanager
def open_sound(path: Path, to_rate: int = SAMPLE_RATE) -> Iterator[OpenSound]:
    """Open a wav or flac file to be read at `to_rate` in Hz; UsageError where its header is of no sound."""
    with _told(path):
        if path.stat().st_size == 0:
            raise UsageError(f"{path}: an empty file")
        path.open("rb").close()  # libsndfile doesn't tell why a file can't be opened
        file = _Forward(os.fsencode(path))  # soundfile would refuse a name that is not UTF-8
    with file:
        yield OpenSound(path, file, to_rate)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is never sought in: where its length isn't told, seeking would fail."""

    def seekable(self) -> bool:
        """No: soundfile then reads on from where it is."""
        return False


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a file, in one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: can't be opened ({error.strerror or error})") from error
    except ValueError as error:  # a zero byte in its name
        raise UsageError(f"{path}: can't be opened ({error})") from error
    except soundfile.SoundFileError as error:
        detail = getattr(error, "error_string", str(error)).rstrip(".")
        raise UsageError(f"{path}: can't be read as sound ({detail})") from error
