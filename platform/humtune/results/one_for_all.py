"""One configuration for all machines: the parameters and score type that serve them best together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from humtune.errors import UsageError
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import SPLITS, CrossFitted, halves
from humtune.metrics.omega import Metrics, evaluate, pool
from humtune.records import TrialRecord
from humtune.results.candidates import Candidate, searched_trials
from humtune.results.measure import Measured
from humtune.results.reading import Reading, labelled_clips
from humtune.sounds.parallel import tracked


@dataclass(frozen=True, eq=False)
class Pick:
    """A candidate of a machine, or all of them, and what that is worth."""

    machine: str
    candidate: Candidate | None  # None: all, which no label weighed
    reading: Reading
    cross_fitted: CrossFitted | None = None


def one_for_all(machines: Sequence[Measured]) -> list[Pick] | str:
    """Each machine's trial of the configuration × score type with the highest Ω over all machines' values.

    Only what every machine tried can be compared: equal parameters, of several seeds the n-th with the n-th.
    Cross-fitted over all machines at once. Where there is nothing to choose from, a sentence that says so.
    """
    labelled = [labelled_clips(m.clips) for m in machines]
    cells = [found.choosing for found in labelled if found.choosing]
    if len(cells) < len(machines):
        return "one configuration for all: not every machine has labelled clips to choose by"
    tried = [_by_point(m.records) for m in machines]
    shared = [point for point in tried[0] if all(point in others for others in tried)]
    trials = [[known[point] for known in tried] for point in shared]  # [points][machines]
    found = [(row, s) for row in trials for s in row[0].omega if all(s in r.omega for r in row)]
    if not found:
        return "one configuration for all: no configuration was tried on every machine"
    scores = [
        m.archive.rows([(row[i].id, score) for row, score in found])
        for i, m in enumerate(machines)
        if m.archive
    ]
    best = _best([evaluate(s, c) for s, c in zip(scores, cells, strict=True)])
    row, score = found[best]
    try:
        fitted: list[CrossFitted] | None = _cross_fit(scores, cells)
    except UsageError:  # a cell of a single clip: the machine's own note says so
        fitted = None
    return [
        Pick(
            measured.machine,
            Candidate(row[i], score, row[i].omega[score]),
            labelled[i].read(scores[i][best]),
            fitted[i] if fitted else None,
        )
        for i, measured in enumerate(machines)
    ]


def _by_point(records: Sequence[TrialRecord]) -> dict[tuple[object, ...], TrialRecord]:
    """A machine's trials by their parameters, and which seed of these it was; shared ones by themselves."""
    found: dict[tuple[object, ...], TrialRecord] = {}
    for record in searched_trials(records):
        point, nth = (record.id,) if record.is_shared else tuple(sorted(record.params.items())), 0
        while (point, nth) in found:
            nth += 1
        found[point, nth] = record
    return found


def _best(metrics: Sequence[Metrics]) -> int:
    return int(np.argmax(pool(metrics).omega_official))


def _cross_fit(scores: Sequence[Array], cells: Sequence[Cells], *, seed: int = 0) -> list[CrossFitted]:
    """Choose for all machines on half of the clips, read each on the other; the splits of `cross_fit`."""
    rngs = [np.random.default_rng(seed) for _ in cells]
    values = np.empty((len(cells), SPLITS, 2))
    chosen = np.zeros(len(scores[0]), np.int64)
    for split in tracked(range(SPLITS), total=SPLITS, title="one for all"):
        both = [halves(c, rng) for c, rng in zip(cells, rngs, strict=True)]
        sides = [[evaluate(s, half[side]) for s, half in zip(scores, both, strict=True)] for side in (0, 1)]
        for way, (choosing, reading) in enumerate((sides, sides[::-1])):
            best = _best(choosing)
            chosen[best] += 1
            values[:, split, way] = [metrics.omega_official[best] for metrics in reading]
    return [CrossFitted(v.mean(axis=1), chosen) for v in values]
