"""From a sound file to samples: mono, 16 bit, at one rate."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError

FULL_SCALE = 32_768  # of 16 bit samples: a waveform of 1.0
_UNFINISHED = 0x7FFF_0000  # data sizes from here on are what a stream's writer puts for "unknown"
_CUT = re.compile(r"^(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Recording:
    """One file's samples, and what the file was before."""

    samples: NDArray[np.int16]  # [samples] at the rate that was asked for
    rate: int  # Hz, in the file
    channels: int  # in the file
    changes: tuple[str, ...]  # "mixed down from 2 channels", "resampled from 44100 Hz to 16000 Hz"


def read_recording(path: Path, rate: int = SAMPLE_RATE) -> Recording:
    """Read a wav or flac file, mixed down and resampled to `rate` in Hz; UsageError where it is no sound.

    Mono 16 bit samples at the right rate pass bit by bit; anything else is computed in floating point,
    rounded and clipped to 16 bit.
    """
    raw, file_rate = _read(path)
    channels, changes = raw.shape[1], []
    if channels > 1:
        changes.append(f"mixed down from {channels} channels")
    if file_rate != rate:
        changes.append(f"resampled from {file_rate} Hz to {rate} Hz")
    wave = raw.mean(axis=1)
    if raw.dtype == np.int16:
        wave /= FULL_SCALE  # 16 bits and a few channels: exact in float64, there and back
    if not np.isfinite(wave).all():
        raise UsageError(f"{path}: holds samples that are not finite")
    if file_rate != rate:
        wave = soxr.resample(wave, file_rate, rate)
    samples = to_samples(wave)
    if not len(samples):
        raise UsageError(f"{path}: holds less than one sample at {rate} Hz")
    return Recording(samples, file_rate, channels, tuple(changes))


def read_audio(path: Path, rate: int = SAMPLE_RATE) -> NDArray[np.int16]:
    """A file's samples, int16 [samples], mono at `rate` in Hz; see `read_recording`."""
    return read_recording(path, rate).samples


def read_waveform(path: Path, rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """A file's samples, float32 [samples] in [-1, 1]: the same 16 bit values that a bank holds."""
    return to_waveform(read_audio(path, rate))


def to_samples(wave: NDArray[np.float64]) -> NDArray[np.int16]:
    """A waveform in [-1, 1] as 16 bit samples, rounded; what is louder is clipped."""
    return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_waveform(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16 bit samples as float32 in [-1, 1], exactly."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def _read(path: Path) -> tuple[NDArray[np.int16] | NDArray[np.float64], int]:
    """Samples [frames, channels] as the file has them: int16, or float64 in [-1, 1]; and its rate."""
    try:
        if path.stat().st_size == 0:
            raise UsageError(f"{path}: an empty file")
        with soundfile.SoundFile(path) as file:
            raw = file.read(dtype="int16" if file.subtype == "PCM_16" else "float64", always_2d=True)
            frames, file_rate, log = file.frames, int(file.samplerate), file.extra_info
    except OSError as error:
        raise UsageError(f"{path}: can't be opened ({error.strerror or error})") from error
    except soundfile.SoundFileError as error:
        detail = str(error).partition(": ")[2].rstrip(".") or str(error)
        raise UsageError(f"{path}: can't be read as sound ({detail})") from error
    cut = _CUT.search(log)
    if cut and int(cut[2]) < int(cut[1]) < _UNFINISHED:
        raise UsageError(f"{path}: truncated, {cut[2]} of {cut[1]} bytes of sound are there")
    if len(raw) < frames:
        raise UsageError(f"{path}: truncated, {len(raw)} of {frames} samples are there")
    if not len(raw):
        raise UsageError(f"{path}: holds no samples")
    return raw, file_rate
