"""Disturbances: what can be done to a healthy recording so that it no longer is one.

They work on any recording and know nothing of the machine; they range from barely audible to plain.
"""

from collections.abc import Callable

import numpy as np
import soxr
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE

Float = NDArray[np.float64]

LEVEL = (-25.0, -5.0)  # dB of what is mixed in, beside the recording's own rms


def knocks(wave: Float, generator: np.random.Generator) -> Float:
    """Irregular blows, two to twenty a second, each setting one resonance ringing."""
    count = max(1, int(generator.uniform(2, 20) * len(wave) / SAMPLE_RATE))
    blows = np.zeros(len(wave))
    np.add.at(blows, generator.integers(0, len(wave), count), generator.uniform(0.3, 1.0, count))
    frequency, decay = _log_uniform(generator, 800, 6000), _log_uniform(generator, 0.002, 0.02)
    seconds = np.arange(int(6 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    ringing = np.exp(-seconds / decay) * np.sin(2 * np.pi * frequency * seconds)
    size = len(wave) + len(ringing)
    sound = np.fft.irfft(np.fft.rfft(blows, size) * np.fft.rfft(ringing, size), size)
    return _mixed(wave, sound[: len(wave)], generator)


def rubbing(wave: Float, generator: np.random.Generator) -> Float:
    """Noise of a band about an octave wide that swells and fades a few times a second."""
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    middle = _log_uniform(generator, 400, 6000)
    band = np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / middle) / 0.4) ** 2)
    noise = np.fft.irfft(np.fft.rfft(generator.standard_normal(len(wave))) * band, len(wave))
    return _mixed(wave, noise * _swing(len(wave), generator), generator)


def whine(wave: Float, generator: np.random.Generator) -> Float:
    """A tone with its octave whose pitch wanders by a percent or so."""
    frequency = _log_uniform(generator, 200, 3500)
    wander = 1 + 0.01 * (_swing(len(wave), generator) - 1)
    phase = 2 * np.pi * np.cumsum(frequency * wander) / SAMPLE_RATE
    return _mixed(wave, np.sin(phase) + 0.3 * np.sin(2 * phase), generator)


def wrong_speed(wave: Float, generator: np.random.Generator) -> Float:
    """The whole machine one to eight percent slower or faster."""
    ratio = (1 + generator.uniform(0.01, 0.08)) ** generator.choice([-1, 1])
    return np.resize(soxr.resample(wave, SAMPLE_RATE, SAMPLE_RATE * ratio), len(wave))


def wrong_colour(wave: Float, generator: np.random.Generator) -> Float:
    """A band about an octave wide, 3 to 12 dB louder or softer than it should be."""
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    middle = _log_uniform(generator, 200, 5000)
    band = np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / middle) / 0.5) ** 2)
    gain = generator.uniform(3, 12) * generator.choice([-1, 1]) * band
    return np.asarray(np.fft.irfft(np.fft.rfft(wave) * 10 ** (gain / 20), len(wave)))


DISTURBANCES: tuple[Callable[[Float, np.random.Generator], Float], ...] = (
    knocks,
    rubbing,
    whine,
    wrong_speed,
    wrong_colour,
)


def _mixed(wave: Float, sound: Float, generator: np.random.Generator) -> Float:
    """The recording with a sound in it, at a level drawn from LEVEL."""
    gain = 10 ** (generator.uniform(*LEVEL) / 20) * _rms(wave) / max(_rms(sound), 1e-12)
    return wave + gain * sound


def _swing(samples: int, generator: np.random.Generator) -> Float:
    """A gain between 0 and 2 over time: a slow sine of random rate and phase."""
    rate, phase = generator.uniform(0.5, 8), generator.uniform(0, 2 * np.pi)
    return 1 + np.sin(2 * np.pi * rate * np.arange(samples) / SAMPLE_RATE + phase)


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))


def _rms(wave: Float) -> float:
    return float(np.sqrt(np.mean(wave**2)))
