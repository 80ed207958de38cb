"""Which of a machine's configurations are trained again with new seeds, once its search is over."""

from collections.abc import Iterable

from humtune.records import CONFIRM, TrialRecord
from humtune.results.candidates import configurations, searched_trials
from humtune.search.space.grid import Run

FIRST_SEED = 1_000_000  # above the space's own seed: no trial of a search gets as far


def due(records: Iterable[TrialRecord], *, best: int, seeds: int, seed: int) -> list[Run]:
    """The best configurations, each with the same new seeds, that no trial has had yet; seed by seed.

    Configurations are ranked by what the search's own trials are judged by, those with several seeds by the
    mean. What confirms has no say in what is confirmed, so a resumed search asks for the same.
    """
    records = list(records)
    had = [Run(r.params, r.seed, r.started_from) for r in records if r.origin == CONFIRM]
    firsts = [c.trials[0] for c in configurations(searched_trials(records))[:best]]
    runs = [Run(r.params, seed + FIRST_SEED + i, r.started_from) for i in range(seeds) for r in firsts]
    return [run for run in runs if run not in had]
