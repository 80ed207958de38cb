"""How synthetic machines break: each fault changes one part of what a machine sounds like."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE

Float = NDArray[np.float64]

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


def draw(kind: str, severity: float, generator: np.random.Generator) -> Fault:
    """A fault of a kind, around its usual strength times `severity`; no two clips have quite the same."""
    return Fault(kind, STRENGTH[kind] * severity * float(np.exp(generator.uniform(-0.4, 0.4))))


def changed_orders(amplitudes: Float, teeth: int, fault: Fault) -> Float:
    """Amplitudes of the shaft's orders with imbalance (the first three grow) or missing teeth."""
    amplitudes = amplitudes.copy()
    amplitudes[1:4] *= 1 + 6 * fault.at("imbalance")
    amplitudes[teeth::teeth] *= 1 - min(1.0, fault.at("missing"))
    return amplitudes


def beat(phase: Float, fault: Fault) -> Float | float:
    """Gain over time of a shaft out of balance: one swing a revolution; phase in revolutions."""
    depth = min(0.9, fault.at("imbalance"))
    return 1 + depth * np.cos(2 * np.pi * phase) if depth else 1.0


def drops(samples: int, fault: Fault, generator: np.random.Generator) -> Float | float:
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


def blows(phase: Float, defect: float, strength: float, generator: np.random.Generator) -> Float:
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


def ringing(hertz: Float, frequency: float, quality: float = 12.0) -> NDArray[np.complex128]:
    """Frequency response of what a blow sets ringing: one resonance, of energy 1."""
    ratio = hertz / frequency
    response = ratio / (1 - ratio**2 + 1j * ratio / quality)
    return np.asarray(response / np.sqrt(np.mean(np.abs(response) ** 2)))


def hiss(hertz: Float, middle: float, strength: float) -> Float:
    """Shape of a leak's spectrum: an octave around `middle`, of rms `strength` on white noise of rms 1."""
    shape = np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / middle) / 0.35) ** 2)
    return np.asarray(strength * shape / np.sqrt(np.mean(shape**2)))
