"""From a sound file to samples: mono, 16 bit, at one rate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.sounds.sound_file import FULL_SCALE, open_sound


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


def read_audio(path: Path, rate: int = SAMPLE_RATE) -> NDArray[np.int16]:
    """A file's samples, int16 [samples], mono at `rate` in Hz; see `read_recording`."""
    return read_recording(path, rate).samples


def read_waveform(path: Path, rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """A file's samples, float32 [samples] in [-1, 1]: the same 16 bit values that a bank holds."""
    return to_waveform(read_audio(path, rate))


def to_waveform(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16 bit samples as float32 in [-1, 1], exactly."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)
