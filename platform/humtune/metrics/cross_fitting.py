"""Choosing the best candidate without believing its own score: cross-fitted Ω."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import UsageError
from humtune.metrics.cells import Array, Cell, Cells
from humtune.metrics.omega import harmonic_mean, omega
from humtune.sounds.groups import split_units

SPLITS = 20

Chooser = Callable[[Array, Cells], Array]  # candidates [K, N] and the clips that choose -> one score [N]
Halve = Callable[[Cells, np.random.Generator], tuple[Cells, Cells]]


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What choosing the best candidate is worth on clips that did not choose it."""

    splits: Array  # [S], official Ω, the mean of a split's two halves
    chosen: NDArray[
        np.int64
    ]  # [K], how often each candidate was chosen, out of 2 S; [0] where they are joined

    @property
    def mean(self) -> float:
        """Cross-fitted Ω."""
        return float(self.splits.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over the splits."""
        return float(self.splits.std())


def cross_fit(scores: ArrayLike, cells: Cells, *, splits: int = SPLITS, seed: int = 0) -> CrossFitted:
    """Choose the candidate with the highest official Ω on one half of the clips, read it on the other half.

    Scores [K, N] of K candidates. Each split makes random `halves` of every (section, domain, label) cell and
    is used both ways; of equal candidates the first is chosen. The highest of K Ω's on the clips that chose
    it is too high by what luck adds; this one is not. UsageError where a cell has a single clip.
    """
    scores = np.atleast_2d(np.asarray(scores, np.float64))
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(scores), np.int64)
    values = np.empty((splits, 2))
    for split in range(splits):
        omegas = [omega(scores, half) for half in halves(cells, rng)]
        for way, (choosing, reading) in enumerate((omegas, omegas[::-1])):
            best = int(np.argmax(choosing))
            chosen[best] += 1
            values[split, way] = reading[best]
    return CrossFitted(splits=values.mean(axis=1), chosen=chosen)


def cross_fit_choosers(
    choosers: Mapping[str, Chooser],
    scores: ArrayLike,
    cells: Cells,
    *,
    splits: int = SPLITS,
    seed: int = 0,
    halve: Halve | None = None,
) -> dict[str, CrossFitted]:
    """Let every chooser make one score [N] of scores [K, N] by half of the clips; read it on the other half.

    All see the same splits, those of `cross_fit` with that seed, so that their differences are paired.
    `halve` splits cells in another way than `halves`.
    """
    scores = np.atleast_2d(np.asarray(scores, np.float64))
    rng = np.random.default_rng(seed)
    values = {name: np.empty((splits, 2)) for name in choosers}
    for split in range(splits):
        first, second = (halve or halves)(cells, rng)
        for way, (choosing, reading) in enumerate(((first, second), (second, first))):
            for name, choose in choosers.items():
                values[name][split, way] = omega(choose(scores, choosing), reading)
    return {name: CrossFitted(v.mean(axis=1), np.zeros(0, np.int64)) for name, v in values.items()}


def cross_fit_machines(machines: list[CrossFitted]) -> CrossFitted:
    """Cross-fitted Ω over machines: per split the harmonic mean of the machines', as the challenge ranks."""
    splits = harmonic_mean(np.stack([m.splits for m in machines]), axis=0)
    return CrossFitted(splits=splits, chosen=np.concatenate([m.chosen for m in machines]))


def halves(cells: Cells, rng: np.random.Generator) -> tuple[Cells, Cells]:
    """Two random halves of every (section, domain, label) cell; the odd clips go to either half in turn.

    Clips that were cut from one recording stay together, unless a cell has no other.
    """
    extra = int(rng.integers(2))

    def split(cell: Cell, kind: str, clips: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        nonlocal extra
        if len(clips) < 2:
            raise UsageError(
                f"{cells.machine} {cell.name} has a single {kind} clip; cross-fitting needs two or more"
            )
        unit = split_units(cells.recordings[clips])
        mixed = rng.permutation(unit.max() + 1)
        cut, odd = divmod(len(mixed), 2)
        cut += odd * extra
        extra ^= odd
        first = np.isin(unit, mixed[:cut])
        return clips[first], clips[~first]

    first, second = [], []
    for cell in cells.cells:
        normal, anomaly = split(cell, "normal", cell.normal), split(cell, "anomalous", cell.anomaly)
        first.append(replace(cell, normal=normal[0], anomaly=anomaly[0]))
        second.append(replace(cell, normal=normal[1], anomaly=anomaly[1]))
    return replace(cells, cells=tuple(first)), replace(cells, cells=tuple(second))
