"""Synthetic machines: what each kind is made of, and how one unit of a kind differs from the next."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError

LIKENESS = (
    0.25  # how far units of one kind differ: spread (log) of their orders' levels; resonances a quarter
)
UNITS = 8  # units of a kind that are kept apart; section 8 is section 0's neighbour again
_HIGHEST = 0.45 * SAMPLE_RATE  # Hz: no order of the shaft is heard above


@dataclass(frozen=True)
class Strokes:
    """Motion that comes and goes: a valve's switching, a slider's way and back."""

    rate: tuple[float, float]  # strokes a second, over the units of the kind
    duty: float  # share of a stroke in which it moves
    knock: float  # blow at both ends, by its energy against one second of the hum
    ramp: float  # seconds to come up to speed


@dataclass(frozen=True)
class Recipe:
    """What a kind of machine is made of; levels are amplitudes beside the shaft's own of 1."""

    speed: tuple[float, float]  # revolutions a second, over the units of the kind
    teeth: tuple[int, int]  # blades, balls, poles or gear teeth: the order that stands out
    teeth_level: float
    sidebands: float  # of the teeth's orders, one and two shaft orders away; share of their level
    tilt: float  # amplitude of the n-th order falls as n ** -tilt
    turbulence: float  # rms of the noise that the machine itself makes
    resonances: tuple[float, float]  # Hz, where its body rings
    faults: tuple[str, ...]  # names out of rendering.STRENGTH
    strokes: Strokes | None = None
    background: float = 0.5  # rms of the hall around it; the machine's is 1


RECIPES = {
    "fan": Recipe(
        (18, 32), (4, 9), 3.0, 0.1, 1.0, 1.2, (150, 3000), ("imbalance", "clicks", "missing", "leak")
    ),
    "bearing": Recipe((12, 34), (7, 14), 0.8, 0.3, 0.7, 0.8, (900, 6000), ("clicks", "imbalance", "leak")),
    "gearbox": Recipe(
        (14, 26), (17, 41), 2.5, 0.35, 0.8, 0.5, (300, 4500), ("missing", "clicks", "imbalance", "stutter")
    ),
    "valve": Recipe(
        (49, 51), (2, 4), 0.4, 0.0, 1.2, 1.0, (700, 6000), ("stutter", "leak", "clicks"),
        Strokes((1.4, 3.2), 0.35, 0.06, 0.004),
    ),
    "slider": Recipe(
        (20, 45), (6, 12), 1.2, 0.2, 0.9, 1.0, (400, 5000), ("clicks", "stutter", "leak", "missing"),
        Strokes((0.9, 2.0), 0.8, 0.05, 0.06),
    ),
    "ToyCar": Recipe(
        (55, 110), (6, 14), 1.6, 0.3, 0.8, 0.7, (500, 5500), ("imbalance", "missing", "clicks", "stutter")
    ),
    "ToyTrain": Recipe(
        (35, 75), (5, 12), 1.2, 0.25, 0.9, 0.8, (300, 4500), ("clicks", "stutter", "missing", "leak"),
        Strokes((2.0, 4.5), 1.0, 0.05, 0.02),
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Unit:
    """One machine: a section of its kind."""

    recipe: Recipe
    speed: float  # revolutions a second
    teeth: int
    amplitudes: NDArray[np.float64]  # [orders + 1] of each order of the shaft, at nominal load
    phases: NDArray[np.float64]  # [orders + 1] radians
    peaks: NDArray[np.float64]  # [resonances, 3]: Hz, quality, gain
    rate: float  # strokes a second; 0 for a machine that runs on and on
    defect: float  # blows a revolution of a damaged bearing
    ring: float  # Hz, what those blows set ringing
    leak: float  # Hz, the middle of a leak's hiss

    def response(self, hertz: NDArray[np.floating]) -> NDArray[np.complex128]:
        """How the body passes a frequency on: a floor and its resonances, each a damped spring."""
        ratio = hertz[:, None] / self.peaks[:, 0]
        springs = self.peaks[:, 2] / (1 - ratio**2 + 1j * ratio / self.peaks[:, 1])
        return np.asarray(0.3 + springs.sum(axis=1))

    @property
    def loudness(self) -> float:
        """The rms of its steady hum behind its body, from its spectrum."""
        orders = np.arange(len(self.amplitudes)) * self.speed
        tones = (np.abs(self.response(orders)) * self.amplitudes) ** 2 / 2
        noise = self.recipe.turbulence**2 * np.abs(self.response(np.linspace(0, SAMPLE_RATE / 2, 2048))) ** 2
        return float(np.sqrt(tones[1:].sum() + noise.mean()))


def recipe(machine: str) -> Recipe:
    """The recipe of a kind of machine; UsageError that lists the kinds for an unknown one."""
    if machine not in RECIPES:
        raise UsageError(f"no synthetic machine is called {machine!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[machine]


def unit(machine: str, section: int, *, seed: int) -> Unit:
    """The unit that a section records: always the same for the same machine, section and seed.

    Units of one kind share a body and lie evenly over its ranges of speed and teeth, in a shuffled order.
    """
    kind, code = recipe(machine), zlib.crc32(machine.encode())
    design, casting = np.random.default_rng([seed, code]), np.random.default_rng([seed, code, section])
    places = [(design.permutation(UNITS)[section % UNITS] + 0.5) / UNITS for _ in range(3)]
    speed = _between(kind.speed, places[0])
    teeth = round(_between(kind.teeth, places[1]))
    amplitudes = _orders(kind, teeth, int(_HIGHEST / speed))
    amplitudes *= np.exp(LIKENESS * casting.standard_normal(len(amplitudes)))
    amplitudes *= np.sqrt(2 / np.sum(amplitudes**2))  # rms 1
    resonances = np.exp(design.uniform(np.log(kind.resonances[0]), np.log(kind.resonances[1]), size=5))
    resonances *= np.exp(LIKENESS / 4 * casting.standard_normal(5))
    gains = design.uniform(0.1, 0.5, size=5) * np.exp(LIKENESS * casting.standard_normal(5))
    peaks = np.stack([resonances, design.uniform(4, 14, size=5), gains], axis=1)
    return Unit(
        recipe=kind,
        speed=speed,
        teeth=teeth,
        amplitudes=amplitudes,
        phases=casting.uniform(0, 2 * np.pi, len(amplitudes)),
        peaks=peaks,
        rate=_between(kind.strokes.rate, places[2]) if kind.strokes else 0.0,
        defect=casting.uniform(2.6, 5.6),
        ring=casting.uniform(2000, 6000),
        leak=casting.uniform(1500, 6000),
    )


def _orders(kind: Recipe, teeth: int, highest: int) -> NDArray[np.float64]:
    """Amplitudes of the shaft's orders 0…highest: the shaft's own, the teeth's, and the teeth's sidebands."""
    order = np.arange(highest + 1)
    amplitudes = np.where(order > 0, np.maximum(order, 1.0) ** -(kind.tilt + 0.3), 0.0)
    for distance, share in ((0, 1.0), (1, kind.sidebands), (2, kind.sidebands / 2)):
        for side in {distance, -distance}:
            carrier = order - side
            hit = (carrier > 0) & (carrier % teeth == 0) & (order > 0)
            amplitudes[hit] += kind.teeth_level * share * (carrier[hit] / teeth) ** -kind.tilt
    return amplitudes


def _between(ends: tuple[float, float], place: float) -> float:
    return float(ends[0] + (ends[1] - ends[0]) * place)
