"""From a synthetic machine, in good order or with a fault, to the recording of one clip of it.

The shaft turns; what sounds once a revolution is a waveform that is played at the shaft's pace. Turbulence
rides on it, strokes gate it, the body resonates, the microphone colours it, and the hall adds its own noise.
Each fault changes one part of this.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from humtune.config import SAMPLE_RATE
from humtune.sounds.machines import Unit
from humtune.sounds.sound_file import FULL_SCALE

Float = NDArray[np.float64]

_REVOLUTION = 8192  # points of the waveform of one revolution
_LEVEL = 0.04  # rms of a machine of rms 1, of full scale

STRENGTH = {
    "clicks": 0.2,  # rms of the blows of a damaged bearing, beside a machine of rms 1
    "imbalance": 0.4,  # depth of the beat with the shaft; its first orders grow sixfold as much
    "leak": 0.22,  # rms of the hiss
    "missing": 0.6,  # share of the teeth's orders that is gone
    "stutter": 0.5,  # depth of the drops
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a machine while one clip is recorded, and how much."""

    kind: str = "none"
    strength: float = 0.0

    def at(self, kind: str) -> float:
        """The strength if the fault is of this kind, else 0."""
        return self.strength if self.kind == kind else 0.0


HEALTHY = Fault()


def draw_fault(kind: str, severity: float, generator: np.random.Generator) -> Fault:
    """A fault of a kind, around its usual strength times `severity`; no two clips have quite the same."""
    return Fault(kind, STRENGTH[kind] * severity * float(np.exp(generator.uniform(-0.4, 0.4))))


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
        self, setting: Setting, generator: np.random.Generator, fault: Fault = HEALTHY
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
        hum *= pace * _beat(phase, fault)
        spectrum = rfft((hum + knocks) * _drops(size, fault, generator)) * self._body
        if strength := fault.at("clicks"):
            blows = _blows(phase, unit.defect, strength, generator)
            spectrum += rfft(blows) * _ringing(hertz, unit.ring)
        if strength := fault.at("leak"):
            spectrum += _hiss(hertz, unit.leak, strength) * _white(size, generator)
        spectrum *= 1 / (1 + 1j * hertz / microphone.corner)
        spectrum += unit.recipe.background * _hall(hertz, size, microphone, generator)
        wave = irfft(spectrum * self._rumble_filter, size)[: self.samples]
        wave *= _LEVEL * FULL_SCALE * 10 ** (generator.normal(0, 0.7) / 20)
        return np.asarray(np.clip(np.rint(wave), -FULL_SCALE, FULL_SCALE - 1), dtype=np.int16)


def _tones(unit: Unit, setting: Setting, phase: Float, fault: Fault, generator: np.random.Generator) -> Float:
    """What sounds once a revolution: orders of the shaft, brighter under load; phase in revolutions."""
    order = np.arange(len(unit.amplitudes))
    amplitudes = _changed_orders(unit.amplitudes, unit.teeth, fault)
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


def _changed_orders(amplitudes: Float, teeth: int, fault: Fault) -> Float:
    """Amplitudes of the shaft's orders with imbalance (the first three grow) or missing teeth."""
    amplitudes = amplitudes.copy()
    amplitudes[1:4] *= 1 + 6 * fault.at("imbalance")
    amplitudes[teeth::teeth] *= 1 - min(1.0, fault.at("missing"))
    return amplitudes


def _beat(phase: Float, fault: Fault) -> Float | float:
    """Gain over time of a shaft out of balance: one swing a revolution; phase in revolutions."""
    depth = min(0.9, fault.at("imbalance"))
    return 1 + depth * np.cos(2 * np.pi * phase) if depth else 1.0


def _drops(samples: int, fault: Fault, generator: np.random.Generator) -> Float | float:
    """Gain over time of a stutter: drops of 60 to 200 ms, about two a second."""
    depth = min(1.0, fault.at("stutter"))
    if not depth:
        return 1.0
    seconds = np.arange(samples) / SAMPLE_RATE
    gain = np.ones(samples)
    for middle in generator.uniform(0, seconds[-1], max(1, generator.poisson(2 * seconds[-1]))):
        width = generator.uniform(0.03, 0.1)
        gain = np.minimum(gain, 1 - depth / (1 + ((seconds - middle) / width) ** 8))
    return gain


def _blows(phase: Float, defect: float, strength: float, generator: np.random.Generator) -> Float:
    """Impulses, `defect` of them a revolution, with the slip of rolling balls and stronger under load.

    Together they have the energy of a signal of rms `strength`; phase in revolutions.
    """
    impulses = np.zeros(len(phase))
    count = max(1, int((phase[-1] - phase[0]) * defect))
    where = (
        phase[0] + (np.arange(count) + generator.random() + 0.04 * generator.standard_normal(count)) / defect
    )
    hits = np.searchsorted(phase, where)
    hits = hits[hits < len(phase)]
    impulses[hits] = 1 + 0.6 * np.cos(2 * np.pi * phase[hits]) + 0.2 * generator.standard_normal(len(hits))
    energy = float(np.sqrt(np.mean(impulses**2)))
    return impulses * (strength / energy) if energy else impulses


def _ringing(hertz: Float, frequency: float, quality: float = 12.0) -> NDArray[np.complex128]:
    """Frequency response of what a blow sets ringing: one resonance, of energy 1."""
    ratio = hertz / frequency
    response = ratio / (1 - ratio**2 + 1j * ratio / quality)
    return np.asarray(response / np.sqrt(np.mean(np.abs(response) ** 2)))


def _hiss(hertz: Float, middle: float, strength: float) -> Float:
    """Shape of a leak's spectrum: an octave around `middle`, of rms `strength` on white noise of rms 1."""
    shape = np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / middle) / 0.35) ** 2)
    return np.asarray(strength * shape / np.sqrt(np.mean(shape**2)))
