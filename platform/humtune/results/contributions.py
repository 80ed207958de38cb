"""What each kind of detector brings to a machine's ensemble: cross-fitted Ω with all kinds, and without."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.config import SHARED
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import SPLITS, Chooser, CrossFitted, cross_fit_choosers
from humtune.records import TrialRecord
from humtune.results.ensembles.greedy import MEMBERS, select

ALL = ""  # no kind is left out


def kind_of_trial(record: TrialRecord) -> str:
    """Its preset of the family, or else its family; a shared trial is of another kind than an own one."""
    kind = str(record.params.get("family", record.config.get("family", "classifier")))
    return f"{SHARED} {kind}" if record.is_shared else kind


def without_each(
    scores: ArrayLike,
    kinds: Sequence[str],
    cells: Cells,
    *,
    members: int = MEMBERS,
    splits: int = SPLITS,
) -> dict[str, CrossFitted]:
    """Cross-fitted Ω of the greedy ensemble of all calibrated candidates [K, N], and of all but each kind's.

    `kinds` [K] are the candidates'. All are read on the same splits, so that differences are paired. Where
    all are of one kind, there is nothing without it. UsageError where a cell has a single clip.
    """
    scores, of = np.atleast_2d(np.asarray(scores, np.float64)), np.asarray(kinds)

    def greedy(rows: NDArray[np.intp]) -> Chooser:
        def choose(scores: Array, cells: Cells) -> Array:
            some = scores[rows]
            return select(some, cells, members=members)(some)

        return choose

    left = {ALL: np.arange(len(of))} | {kind: np.flatnonzero(of != kind) for kind in dict.fromkeys(kinds)}
    choosers = {kind: greedy(rows) for kind, rows in left.items() if len(rows)}
    return cross_fit_choosers(choosers, scores, cells, splits=splits)
