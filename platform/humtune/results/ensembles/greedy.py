"""Ensembles by greedy selection with replacement (Caruana et al., ICML 2004).

Candidates are calibrated scores [K, N] of one machine's clips: comparable, higher meaning more anomalous.
Ω is the official one; nothing here is worth believing on the clips that chose it. A machine has weights for
each section with labels, and weights for any other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import HumtuneError, UsageError
from humtune.metrics.cells import Array, Cells
from humtune.metrics.omega import EPSILON, pauc

MEMBERS = 8  # distinct members of one weighting, at most
START = 3  # the best few that every ensemble begins with
STEPS = 25
PATIENCE = 5  # steps without gain before the selection gives up
OTHERS = 0.2  # what another section's values count in a section's own choice; docs/ensembles.md
POOL = 200  # candidates that are looked at after the first ranking


@dataclass(frozen=True)
class Step:
    """One candidate added: which, how many distinct ones there are then, and Ω on the choosing clips."""

    candidate: int
    members: int
    omega: float


@dataclass(frozen=True, eq=False)
class Weights:
    """What share of an ensemble's score each candidate has, and how it came to be."""

    values: Array  # [K], 0…1, sum 1
    path: tuple[Step, ...]  # as walked, past the best point too; empty for an average of selections

    def __call__(self, candidates: ArrayLike) -> Array:
        """The ensemble's score [N] out of the candidates' [K, N]."""
        return np.asarray(self.values @ np.asarray(candidates, np.float64))

    @cached_property
    def members(self) -> NDArray[np.intp]:
        """Candidates with a share, the largest first."""
        order = np.argsort(-self.values, kind="stable")
        return order[: np.count_nonzero(self.values)]

    def front(self) -> dict[int, float]:
        """Ω on the choosing clips by number of members, for the numbers that raise it."""
        best: dict[int, float] = {}
        for step in self.path:
            if step.omega > max(best.values(), default=-1.0):
                best[step.members] = step.omega
        return best


class Objective:
    """Ω with a weight per section: the harmonic mean of all its values, each counting as its section does."""

    def __init__(self, cells: Cells, importance: Mapping[int, float] | None = None) -> None:
        self._sections = [
            (
                [cell.normal for cell in group],
                np.concatenate([cell.anomaly for cell in group]),
                (importance or {}).get(section, 1.0),
            )
            for section, group in cells.sections()
        ]

    def __call__(self, scores: Array) -> Array:
        """Weighted Ω [...] of scores [..., N]; with equal importance, the official Ω."""
        inverse: Array | float = 0.0
        total = 0.0
        for normals, anomalies, importance in self._sections:
            if importance:
                positive = scores[..., anomalies]
                values = [_auc(positive, scores[..., clips]) for clips in normals]
                values.append(pauc(positive, scores[..., np.concatenate(normals)]))
                inverse = inverse + importance * sum(1 / np.maximum(v, EPSILON) for v in values)
                total += importance * len(values)
        return np.asarray(total / inverse)


def select(
    candidates: ArrayLike,
    cells: Cells,
    *,
    members: int = MEMBERS,
    start: int = START,
    steps: int = STEPS,
    patience: int = PATIENCE,
    pool: int = POOL,
    objective: Callable[[Array], Array] | None = None,
) -> Weights:
    """Add, one at a time and with replacement, the candidate that raises Ω most; keep the best of the way.

    Begins with the `start` best single candidates, half of the `members` at most; `members` bounds the
    distinct ones: when there are so many, only they are added again. Ends after `steps` additions, or
    `patience` of them without gain; of equal ends the shorter one is kept, of equal candidates the better
    single one. Only the `pool` best single candidates are looked at. `objective`, scores [..., N] to [...],
    stands in for Ω where another one is wanted; by it the result is never worse than the best single one.
    UsageError for a bound below 1.
    """
    scores = _checked(candidates, cells)
    bounds = {"members": members, "start": start, "steps": steps, "patience": patience, "pool": pool}
    for name, bound in bounds.items():
        if bound < 1:
            raise UsageError(f"{name} of an ensemble: expected 1 or more, got {bound}")
    objective = objective or Objective(cells)
    ranking = np.argsort(-objective(scores), kind="stable")[:pool]
    looked_at = scores[ranking]
    walked: list[int] = []
    path: list[Step] = []
    total = np.zeros(scores.shape[1])
    given = min(start, (members + 1) // 2, len(ranking))
    best = 0
    while len(path) < steps and len(path) <= max(best + 1, given) - 1 + patience:
        if len(path) < given:
            chosen = len(path)
            value = objective(total + looked_at[chosen])
        else:
            allowed = np.arange(len(ranking)) if len(set(walked)) < members else np.unique(walked)
            values = objective(total + looked_at[allowed])
            chosen, value = int(allowed[np.argmax(values)]), values.max()
        total = total + looked_at[chosen]
        walked.append(chosen)
        path.append(Step(int(ranking[chosen]), len(set(walked)), float(value)))
        if value > path[best].omega:
            best = len(path) - 1
    shares = np.bincount(ranking[walked[: best + 1]], minlength=len(scores))
    return Weights(shares / shares.sum(), tuple(path))


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


def _auc(positive: Array, negative: Array) -> Array:
    """As `metrics.auc`, by comparing all pairs: on a section's few clips faster than ranking them."""
    p, n = positive[..., :, None], negative[..., None, :]
    doubled = 2 * np.count_nonzero(p > n, axis=(-2, -1)) + np.count_nonzero(p == n, axis=(-2, -1))
    return np.asarray(doubled / (2 * positive.shape[-1] * negative.shape[-1]))


def _checked(candidates: ArrayLike, cells: Cells) -> Array:
    scores = np.atleast_2d(np.asarray(candidates, np.float64))
    if len(scores) == 0:
        raise HumtuneError(f"{cells.machine}: no candidates; an ensemble needs one or more")
    return cells.check_scores(scores)
