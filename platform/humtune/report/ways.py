"""Ways of choosing an ensemble and what they are worth: each machine's, and all machines' together.

And the plot of Ω against the number of members.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from matplotlib.ticker import MaxNLocator

from humtune.formatting.plots import BLUE, GREY, ORANGE, Plot, plain
from humtune.formatting.text import MISSING, percent
from humtune.metrics.cells import Array
from humtune.metrics.omega import harmonic_mean
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


def draw_front(records: Sequence[EnsembleRecord], *, title: str = "") -> bytes:
    """Cross-fitted Ω against the number of members, over all machines or of the only one."""
    machine = ALL if len(records) > 1 else records[0].machine
    figure = Plot(figsize=(7, 4.2), dpi=120, layout="constrained")
    panel = figure.subplots()
    looks = {"ensemble": ("weights per section", ORANGE), "greedy": ("one weighting per machine", BLUE)}
    points = [point for point in front(records) if point.machine == machine]
    for way, (label, colour) in looks.items():
        mine = [point for point in points if point.way == way]
        if not mine:
            continue
        sizes = [point.members for point in mine]
        omegas = 100 * np.stack([point.splits for point in mine])
        panel.errorbar(
            sizes,
            omegas.mean(axis=1),
            omegas.std(axis=1),
            color=colour,
            marker="o",
            capsize=3,
            label=f"{label} ({mine[-1].networks:.3g} networks)",
        )
    for found in (w for w in ways(records) if w.machine == machine):
        if style := {"oracle single": "--", "best single": "-"}.get(found.name):
            level = 100 * found.splits.mean()
            panel.axhline(level, color=GREY, linestyle=style, linewidth=1.2, label=found.name)
    panel.set(xlabel="members that score a clip, at most", ylabel="cross-fitted Ω, %")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain(panel)
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=9)
    how = " (transductive)" if any(r.transductive for r in records) else ""
    return figure.titled(f"{title}, {machine}: what members bring{how}").to_png()
