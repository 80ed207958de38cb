"""Halves that share no working condition: a choice is read where the machine runs in other ways.

Random halves put clips of the same speed, voltage or background noise on both sides, so what is learned
about these conditions helps on both. The clips' attributes name them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import halves


def condition_halves(
    cells: Cells, attributes: Sequence[str] | NDArray[np.str_], rng: np.random.Generator
) -> tuple[Cells, Cells]:
    """Two halves of every section and domain by its conditions, the attributes [N] of each clip.

    Normal and anomalous clips of a condition stay together. Where that leaves a half without either of them,
    as with a single condition, the clips are halved at random as by `halves`.
    """
    attributes = np.asarray(attributes)
    chance = halves(cells, rng)
    first, second = [], []
    for cell, *fallback in zip(cells.cells, *(half.cells for half in chance), strict=True):
        conditions = rng.permutation(np.unique(attributes[np.concatenate([cell.normal, cell.anomaly])]))
        taken = np.isin(attributes, conditions[: (len(conditions) + rng.integers(2)) // 2])
        by_condition = [
            replace(cell, normal=cell.normal[side[cell.normal]], anomaly=cell.anomaly[side[cell.anomaly]])
            for side in (taken, ~taken)
        ]
        whole = all(len(half.normal) and len(half.anomaly) for half in by_condition)
        one, other = by_condition if whole else fallback
        first.append(one)
        second.append(other)
    return replace(cells, cells=tuple(first)), replace(cells, cells=tuple(second))
