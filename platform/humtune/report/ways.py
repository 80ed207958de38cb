"""Ways of choosing an ensemble and what they are worth: each machine's, and all machines' together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from humtune.evaluation.cells import Array
from humtune.evaluation.metrics import harmonic_mean
from humtune.formatting.tables import MISSING, percent
from humtune.results.ensembles.record import EnsembleRecord

K = TypeVar("K", str, int)

ALL = "all"
BASELINES = ("best single", "best by pseudo-Ω")  # what a way is held against, with labels or without


@dataclass(frozen=True)
class Way:
    """A way of choosing and what it is worth, 0…1."""

    machine: str
    name: str
    splits: Array  # Ω of each
    baseline: Array | None  # the best single's

    @property
    def more(self) -> Array | None:
        """How much better than the best single, split by split; None for itself, or where there is none."""
        if self.baseline is None or self.name in BASELINES:
            return None
        return self.splits - self.baseline

    @property
    def cells(self) -> tuple[str, str]:
        """Ω, and the difference to the best single, in percent with their deviations."""
        more = self.more
        return spread(self.splits), MISSING if more is None else spread(more, signed=True)


@dataclass(frozen=True, eq=False)
class Point:
    """A way of choosing with so many members at most."""

    machine: str
    way: str
    members: int
    splits: Array  # Ω of each
    networks: float  # that a clip goes through


def ways(records: Sequence[EnsembleRecord]) -> list[Way]:
    """Every way of choosing of each machine; of two or more also over all, those that every machine has."""
    found = [
        way for r in records for way in _ways(r.machine, {k: np.array(v) for k, v in r.compared.items()})
    ]
    if len(records) > 1:
        found += _ways(ALL, _over_all([r.compared for r in records]))
    return found


def front(records: Sequence[EnsembleRecord]) -> list[Point]:
    """Every point of each machine's front; of two or more machines also over all, networks as their mean."""
    found = [
        Point(r.machine, way, size, np.array(values), r.passes[way][size])
        for r in records
        for way, sizes in r.front.items()
        for size, values in sizes.items()
    ]
    for way in records[0].front if len(records) > 1 else ():
        for size, splits in _over_all([r.front.get(way, {}) for r in records]).items():
            passes = float(np.mean([r.passes[way][size] for r in records]))
            found.append(Point(ALL, way, size, splits, passes))
    return found


def spread(values: Array, *, signed: bool = False) -> str:
    """Mean ± standard deviation in percent; of a single value itself."""
    mean = f"{100 * values.mean():+.1f}" if signed else percent(float(values.mean()))
    return mean if len(values) == 1 else f"{mean} ± {100 * values.std():.1f}"


def _ways(machine: str, compared: dict[str, Array]) -> list[Way]:
    baseline = next((compared[name] for name in BASELINES if name in compared), None)
    return [Way(machine, name, splits, baseline) for name, splits in compared.items()]


def _over_all(machines: Sequence[Mapping[K, tuple[float, ...]]]) -> dict[K, Array]:
    """Per split the harmonic mean over machines, of what all of them have in as many splits."""
    shared = [key for key in machines[0] if all(key in other for other in machines)]
    found: dict[K, Array] = {}
    for key in shared:
        splits = [machine[key] for machine in machines]
        if len({len(s) for s in splits}) == 1:
            found[key] = harmonic_mean(np.array(splits), axis=0)
    return found
