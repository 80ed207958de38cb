"""From a synthetic machine to the recording of one clip of it.

The shaft turns; what sounds once a revolution is a waveform that is played at the shaft's pace. Turbulence
rides on it, strokes gate it, the body resonates, the microphone colours it, and the hall adds its own noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from humtune.config import SAMPLE_RATE
from humtune.sounds import faults
from humtune.sounds.machines import Unit
from humtune.sounds.sound_file import FULL_SCALE

Float = NDArray[np.float64]

_REVOLUTION = 8192  # points of the waveform of one revolution
_LEVEL = 0.04  # rms of a machine of rms 1, of full scale


@dataclass(frozen=True)
class Microphone:
    """Where a recording is taken: what the way there takes off, and how much of the hall comes in."""

    corner: float  # Hz: a gentle low-pass of the distance
    hall: float  # gain of the hall's noise
    slope: float  # of the hall's spectrum: 0 is white, 1 is pink in amplitude


MICROPHONES = {
    "A": Microphone(7000, 1.0, 0.5),
    "B": Microphone(5500, 1.1, 0.55),
    "C": Microphone(3600, 1.3, 0.7),
    "D": Microphone(2800, 1.4, 0.4),
}


@dataclass(frozen=True)
class Setting:
    """How a machine is run and recorded."""

    speed: float = 1.0  # of its nominal
    load: float = 1.0  # of its nominal
    microphone: str = "A"


class Recorder:
    """Records clips of one unit, all of the same length."""

    def __init__(self, unit: Unit, samples: int) -> None:
        self.unit = unit
        self.samples = samples
        self._size = next_fast_len(samples, real=True)
        self._hertz = rfftfreq(self._size, 1 / SAMPLE_RATE)
        self._body = unit.response(self._hertz) / unit.loudness
        self._rumble_filter = self._hertz / (self._hertz + 30)  # no microphone hears the weather

    def record(
        self, setting: Setting, generator: np.random.Generator, fault: faults.Fault = faults.HEALTHY
    ) -> NDArray[np.int16]:
        """One clip, int16 [samples] at SAMPLE_RATE; the same state of the generator gives the same clip."""
        unit, size, hertz = self.unit, self._size, self._hertz
        microphone = MICROPHONES[setting.microphone]
        pace, knocks = _motion(unit, size, generator)
        jitter = 1 + 0.006 * generator.standard_normal()
        turns = unit.speed * setting.speed * jitter * (1 + 0.004 * _wander(size, generator)) * pace
        phase = generator.random() + np.cumsum(turns) / SAMPLE_RATE

        hum = _tones(unit, setting, phase, fault, generator)
        hum *= setting.load * (1 + 0.08 * _wander(size, generator))
        wash = 1 + 0.4 * np.cos(2 * np.pi * unit.teeth * phase)  # blades chop the air they push
        hum += unit.recipe.turbulence * wash * generator.standard_normal(size)
        hum *= pace * faults.beat(phase, fault)
        spectrum = rfft((hum + knocks) * faults.drops(size, fault, generator)) * self._body
        if strength := fault.at("clicks"):
            blows = faults.blows(phase, unit.defect, strength, generator)
            spectrum += rfft(blows) * faults.ringing(hertz, unit.ring)
        if strength := fault.at("leak"):
            spectrum += faults.hiss(hertz, unit.leak, strength) * _white(size, generator)
        spectrum *= 1 / (1 + 1j * hertz / microphone.corner)
        spectrum += unit.recipe.background * _hall(hertz, size, microphone, generator)
        wave = irfft(spectrum * self._rumble_filter, size)[: self.samples]
        wave *= _LEVEL * FULL_SCALE * 10 ** (generator.normal(0, 0.7) / 20)
        return np.asarray(np.clip(np.rint(wave), -FULL_SCALE, FULL_SCALE - 1), dtype=np.int16)


def _tones(
    unit: Unit, setting: Setting, phase: Float, fault: faults.Fault, generator: np.random.Generator
) -> Float:
    """What sounds once a revolution: orders of the shaft, brighter under load; phase in revolutions."""
    order = np.arange(len(unit.amplitudes))
    amplitudes = faults.changed_orders(unit.amplitudes, unit.teeth, fault)
    amplitudes *= np.exp(0.12 * generator.standard_normal(len(order)))
    amplitudes[1:] *= order[1:] ** (0.25 * (setting.load - 1))
    amplitudes[order * unit.speed * setting.speed > 0.48 * SAMPLE_RATE] = 0
    spectrum = np.zeros(_REVOLUTION // 2 + 1, dtype=np.complex128)
    spectrum[order] = amplitudes * np.exp(1j * unit.phases) * (_REVOLUTION / 2)
    revolution = irfft(spectrum, _REVOLUTION)
    place = (phase % 1.0) * _REVOLUTION
    left = place.astype(np.intp)
    share = place - left
    left %= _REVOLUTION
    return np.asarray(revolution[left] * (1 - share) + revolution[(left + 1) % _REVOLUTION] * share)


def _motion(unit: Unit, samples: int, generator: np.random.Generator) -> tuple[Float | float, Float | float]:
    """Pace over time (1 is nominal speed, 0 is rest), and the knocks at the ends of the strokes."""
    strokes = unit.recipe.strokes
    if strokes is None:
        return 1.0, 0.0
    seconds = np.arange(samples) / SAMPLE_RATE
    period = 1 / unit.rate
    starts = period * (np.arange(-1, seconds[-1] / period + 1) + generator.random())
    starts += 0.02 * period * generator.standard_normal(len(starts))
    stops = starts + strokes.duty * period * (1 + 0.03 * generator.standard_normal(len(starts)))
    pace = np.zeros(samples)
    for start, stop in zip(starts, stops, strict=True):
        rise, fall = (seconds - start) / strokes.ramp, (stop - seconds) / strokes.ramp
        pace = np.maximum(pace, np.clip(np.minimum(rise, fall), 0, 1))
    knocks = np.zeros(samples)
    ends = np.concatenate([starts, stops])
    blow = np.sqrt(strokes.knock * SAMPLE_RATE) * np.repeat([1.0, 0.6], len(starts))
    blow = blow * (1 + 0.1 * generator.standard_normal(len(blow)))
    where = np.rint(ends * SAMPLE_RATE).astype(np.intp)
    inside = (where >= 0) & (where < samples)
    knocks[where[inside]] = blow[inside]
    return pace, knocks


def _wander(samples: int, generator: np.random.Generator) -> Float:
    """A slow random swing of about rms 1: three sines below 1.5 Hz."""
    seconds = np.arange(0, samples / SAMPLE_RATE + 0.02, 0.02)
    hertz, phase = generator.uniform(0.1, 1.5, (3, 1)), generator.uniform(0, 2 * np.pi, (3, 1))
    swing = 0.8 * np.sin(2 * np.pi * hertz * seconds + phase).sum(axis=0)
    return np.asarray(np.interp(np.arange(samples) / SAMPLE_RATE, seconds, swing))


def _white(samples: int, generator: np.random.Generator) -> NDArray[np.complex128]:
    """Spectrum of white noise of rms 1."""
    real, imaginary = generator.standard_normal((2, samples // 2 + 1))
    return np.asarray((real + 1j * imaginary) * np.sqrt(samples / 2))


def _hall(
    hertz: Float, samples: int, microphone: Microphone, generator: np.random.Generator
) -> NDArray[np.complex128]:
    """The hall's noise, of rms 1 at gain 1: coloured, and never quite the same colour."""
    slope = microphone.slope + 0.04 * generator.standard_normal()
    shape = np.maximum(hertz, 50.0) ** -slope
    return np.asarray(microphone.hall * shape / np.sqrt(np.mean(shape**2)) * _white(samples, generator))
