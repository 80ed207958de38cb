"""What several candidates are worth together: the ways of joining them, side by side on the same splits."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.evaluation.cells import Array, Cells
from humtune.evaluation.ensemble import OTHERS, ensemble
from humtune.evaluation.greedy import MEMBERS, select
from humtune.evaluation.metrics import omega
from humtune.evaluation.selection import SPLITS, Chooser, CrossFitted, Halve, cross_fit_choosers

TOP = 5


def best_single(scores: Array, cells: Cells) -> Array:
    """The candidate with the highest Ω."""
    return np.asarray(scores[np.argmax(omega(scores, cells))])


def top_mean(count: int = TOP) -> Chooser:
    """The plain mean of the candidates with the highest Ω."""

    def choose(scores: Array, cells: Cells) -> Array:
        best = np.argsort(-omega(scores, cells), kind="stable")[:count]
        return np.asarray(scores[best].mean(axis=0))

    return choose


def mean_of_all(scores: Array, cells: Cells) -> Array:
    """The plain mean of all candidates."""
    return np.asarray(scores.mean(axis=0))


def greedy(members: int = MEMBERS) -> Chooser:
    """One greedy selection for all sections."""
    return lambda scores, cells: select(scores, cells, members=members)(scores)


def sectional(section: NDArray[np.integer], *, members: int = MEMBERS, others: float = OTHERS) -> Chooser:
    """The ensemble with weights per section, for clips of these sections [N]."""

    def choose(scores: Array, cells: Cells) -> Array:
        return ensemble(scores, cells, members=members, others=others)(scores, section)

    return choose


def fixed(vector: ArrayLike) -> Chooser:
    """A score [N] that no clips choose: a label-free fusion, or the candidate that is best by all labels."""
    vector = np.asarray(vector, np.float64)
    return lambda scores, cells: vector


def compare(
    candidates: ArrayLike,
    cells: Cells,
    section: NDArray[np.integer],
    *,
    fusion: ArrayLike | None = None,
    members: int = MEMBERS,
    splits: int = SPLITS,
    seed: int = 0,
    halve: Halve | None = None,
) -> dict[str, CrossFitted]:
    """Cross-fitted Ω of a machine's calibrated candidates [K, N], alone and joined, all on the same splits.

    `section` [N] is every clip's; `fusion` [N] a score that needed no labels. The oracle single is the
    candidate that is best on all clips, which nobody can know: what no choice of a single one can pass.
    """
    scores = cells.check_scores(np.atleast_2d(np.asarray(candidates, np.float64)))
    choosers = {
        "best single": best_single,
        f"top-{TOP} mean": top_mean(),
        "mean of all": mean_of_all,
        **({} if fusion is None else {"label-free fusion": fixed(fusion)}),
        "greedy": greedy(members),
        "ensemble": sectional(section, members=members),
        "oracle single": fixed(best_single(scores, cells)),
    }
    return cross_fit_choosers(choosers, scores, cells, splits=splits, seed=seed, halve=halve)
