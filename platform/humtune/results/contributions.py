"""What each kind of detector brings to a machine's ensemble: cross-fitted Ω with all kinds, and without."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.config import SHARED
from humtune.errors import HumtuneError
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import halves
from humtune.metrics.omega import omega
from humtune.records import TrialRecord
from humtune.results.ensembles.candidates import CALIBRATION, CALIBRATIONS
from humtune.results.ensembles.greedy import select
from humtune.sounds.table import ClipTable, Role

BEST = 3  # candidates of a kind that the ensembles are made of here
SPLITS = 5
STEPS = 10  # of the greedy choice: the first ones tell, and it is made often


def kind_of_trial(record: TrialRecord) -> str:
    """Its preset of the family, or else its family; a shared trial is of another kind than an own one."""
    kind = str(record.params.get("family", record.family))
    return f"{SHARED} {kind}" if record.is_shared else kind


def on_one_scale(scores: Array, clips: ClipTable) -> Array | None:
    """A candidate's scores [N], calibrated as an ensemble's members are; None of scores without spread."""
    try:
        return CALIBRATIONS[CALIBRATION].of(scores[clips.having(Role.HELD_OUT)])(scores)
    except HumtuneError:
        return None


def brings(
    scores: ArrayLike, kinds: Sequence[str], cells: Cells, *, splits: int = SPLITS, seed: int = 0
) -> dict[str, float]:
    """Cross-fitted Ω that the greedy ensemble of the best of each kind loses without a kind, by kind.

    Calibrated scores [K, N] of candidates, `kinds` [K] theirs. One half of the clips chooses the best of each
    kind and joins them, the other half reads, and in turn; all ensembles are read on the same splits. A kind
    alone brings nothing that could be told, and is left out. UsageError where a cell has a single clip.
    """
    scores, of = np.atleast_2d(np.asarray(scores, np.float64)), np.asarray(kinds)
    names = list(dict.fromkeys(kinds))
    if len(names) < 2:
        return {}
    rng, lost = np.random.default_rng(seed), np.zeros(len(names))
    for _ in range(splits):
        pair = halves(cells, rng)
        for choosing, reading in (pair, pair[::-1]):
            rows = _best_of_each(omega(scores, choosing), of, names)
            best, kind = scores[rows], of[rows]
            whole = select(best, choosing, steps=STEPS)
            known = omega(whole(best), reading)
            looked_at = {kind[step.candidate] for step in whole.path}
            for i, name in enumerate(names):
                if name in looked_at:  # without another kind the choice is the same
                    rest = best[kind != name]
                    lost[i] += known - omega(select(rest, choosing, steps=STEPS)(rest), reading)
    return dict(zip(names, (lost / (2 * splits)).tolist(), strict=True))


def _best_of_each(values: Array, of: NDArray[np.str_], names: Sequence[str]) -> NDArray[np.intp]:
    """The rows of the few best of each kind by values [K]."""
    order = np.argsort(-values, kind="stable")
    return np.concatenate([order[of[order] == name][:BEST] for name in names])
