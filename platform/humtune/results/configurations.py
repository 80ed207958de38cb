"""Trials by what they tried: complete ones, and what equal parameters are worth over their seeds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from humtune.config import TrialConfig
from humtune.records import CONFIRM, TrialRecord, TrialState

Allowed = Callable[[TrialConfig, str], bool]  # whether a score type of a configuration may be chosen


def complete_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials that ran their whole budget and have what they are judged by."""
    return [r for r in records if r.state == TrialState.COMPLETE and r.judged]


def searched_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that the search chose from: without those that only confirm what it chose."""
    return [r for r in complete_trials(records) if r.origin != CONFIRM]


@dataclass(frozen=True)
class Configuration:
    """Complete trials of one machine with equal parameters, one a seed; what they are worth together."""

    trials: tuple[TrialRecord, ...]

    @property
    def means(self) -> dict[str, float]:
        """The mean over the seeds of what they are judged by, per score type that all have."""
        shared = [s for s in self.trials[0].judged if all(s in t.judged for t in self.trials)]
        return {s: float(np.mean([t.judged[s] for t in self.trials])) for s in shared}

    @property
    def best_score(self) -> str:
        """The score type with the highest mean."""
        means = self.means
        return max(means, key=lambda s: means[s])

    @property
    def figure(self) -> float:
        """Its best score type's mean."""
        return self.means[self.best_score]

    @property
    def middle(self) -> TrialRecord:
        """The trial with the median figure of the best score type (of two, the lower), with that alone."""
        score = self.best_score
        ranked = sorted(self.trials, key=lambda t: (t.judged[score], t.number))
        return only(ranked[(len(ranked) - 1) // 2], lambda _, name: name == score)


def configurations(records: Iterable[TrialRecord]) -> list[Configuration]:
    """Complete trials by their parameters, the configuration with the highest mean first."""
    groups: dict[tuple[object, ...], list[TrialRecord]] = {}
    for record in complete_trials(records):
        groups.setdefault(tuple(sorted(record.params.items())), []).append(record)
    found = [c for group in groups.values() if (c := Configuration(tuple(group))).means]
    return sorted(found, key=lambda c: (-c.figure, c.trials[0].number))


def confirmed(records: Iterable[TrialRecord]) -> list[Configuration]:
    """The configurations that were trained again, as the new seeds alone show them, best first.

    The trial that called for them has no part in it: it was chosen for its luck too. One with fewer seeds
    than another (still running, or one failed) is not compared.
    """
    found = configurations(r for r in records if r.origin == CONFIRM)
    most = max((len(c.trials) for c in found), default=0)
    return [c for c in found if len(c.trials) == most]


def only(record: TrialRecord, allowed: Allowed) -> TrialRecord:
    """The record as it were if its trial had the allowed score types alone."""
    config = record.config
    kept = {
        kind: {name: value for name, value in figures.items() if allowed(config, name)}
        for kind, figures in (("omega", record.omega), ("pseudo", record.pseudo))
    }
    return record.model_copy(update=kept)
