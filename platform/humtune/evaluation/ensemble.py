"""The ensemble of one machine: weights for each section that has labels, and weights for any other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import UsageError
from humtune.evaluation.cells import Array, Cells
from humtune.evaluation.greedy import MEMBERS, Objective, Weights, select

OTHERS = 0.2  # what another section's values count in a section's own choice; docs/ensembles.md


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Which candidates a machine's score is made of."""

    machine: Weights  # chosen on all its sections
    sections: Mapping[int, Weights]  # of the sections with labels

    def __call__(self, candidates: ArrayLike, section: ArrayLike) -> Array:
        """The ensemble's score [N] of calibrated candidates [K, N] and the section [N] of each clip.

        Clips of a section that had no labels get the machine's weights.
        """
        candidates, section = np.asarray(candidates, np.float64), np.asarray(section)
        found = self.machine(candidates)
        for number, weights in self.sections.items():
            here = section == number
            found[here] = weights(candidates[:, here])
        return found

    @property
    def members(self) -> NDArray[np.intp]:
        """Every candidate that has a share somewhere: what has to be kept."""
        every = [self.machine, *self.sections.values()]
        return np.unique(np.concatenate([weights.members for weights in every]))


def ensemble(
    candidates: ArrayLike,
    cells: Cells,
    *,
    members: int = MEMBERS,
    others: float = OTHERS,
    **bounds: Any,
) -> Ensemble:
    """Choose a machine's ensemble by greedy selection out of calibrated candidates [K, N].

    A section's weights maximise the Ω in which its own values count 1 and each other section's values count
    `others`: 0 lets every section choose alone, 1 gives all of them the machine's weights. `members`
    bounds what one clip has to be scored with; the machine may keep more. Other bounds are those of `select`.
    """
    if not 0 <= others <= 1:
        raise UsageError(f"what other sections count: expected a number between 0 and 1, got {others}")
    whole = select(candidates, cells, members=members, **bounds)
    numbers = [section for section, _ in cells.sections()]
    if others == 1 or len(numbers) == 1:
        return Ensemble(whole, {})

    def objective(own: int) -> Objective:
        return Objective(cells, {number: 1.0 if number == own else others for number in numbers})

    return Ensemble(
        whole,
        {n: select(candidates, cells, members=members, objective=objective(n), **bounds) for n in numbers},
    )
