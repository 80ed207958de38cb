"""Candidates: what a machine's best is chosen from, and how; a trial with one of its score types each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from humtune.records import CONFIRM, TrialRecord, TrialState

FUSION = "fusion"  # the score type that is made of the others


@dataclass(frozen=True)
class Candidate:
    """A trial with one of its score types."""

    trial: TrialRecord
    score_type: str
    value: float  # 0…1, by which it is chosen: its own metric, or the mean over new seeds

    @property
    def name(self) -> str:
        """What a table or a plot calls it: "fan-00012, cosine"."""
        return f"{self.trial.id}, {self.score_type}"

    @property
    def metric(self) -> float:
        """What the trial is judged by with this score type, 0…1."""
        return self.trial.judged[self.score_type]


@dataclass(frozen=True)
class Configuration:
    """Complete trials of one machine with equal parameters, one a seed; what they are worth together."""

    trials: tuple[TrialRecord, ...]
    means: Mapping[str, float]  # over the seeds, of what they are judged by, per score type that all have

    @property
    def best_score(self) -> str:
        """The score type with the highest mean."""
        return max(self.means, key=lambda s: self.means[s])

    @property
    def metric(self) -> float:
        """Its best score type's mean."""
        return self.means[self.best_score]

    @property
    def middle(self) -> Candidate:
        """The trial with the median metric of the best score type (of two, the lower), valued by the mean."""
        score = self.best_score
        ranked = sorted(self.trials, key=lambda t: (t.judged[score], t.number))
        return Candidate(ranked[(len(ranked) - 1) // 2], score, self.metric)


def complete_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials that ran their whole budget and have what they are judged by."""
    return [r for r in records if r.state == TrialState.COMPLETE and r.judged]


def searched_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that the search chose from: without those that only confirm what it chose."""
    return [r for r in complete_trials(records) if r.origin != CONFIRM]


def candidates(records: Iterable[TrialRecord], *, exportable: bool = False) -> list[Candidate]:
    """Every score type of the trials that the search chose from, or of them those that can be exported."""
    return [c for r in searched_trials(records) for c in _candidates(r, exportable=exportable)]


def choose(records: Iterable[TrialRecord], *, exportable: bool = False) -> Candidate | None:
    """What report, export and submission take as a machine's best; None where no trial is complete.

    Without confirmation it is the candidate with the highest metric, of equal ones the first. With it, the
    configuration with the highest mean over its new seeds, and of those the trial with the median one.
    With `exportable` only what a model can score is chosen from.
    """
    records = list(records)
    if again := confirmed(records, exportable=exportable):
        return again[0].middle
    every = [c for r in complete_trials(records) for c in _candidates(r, exportable=exportable)]
    return min(every, key=lambda c: (-c.value, c.trial.number), default=None)


def configurations(records: Iterable[TrialRecord], *, exportable: bool = False) -> list[Configuration]:
    """Complete trials by their parameters, the configuration with the highest mean first."""
    groups: dict[tuple[object, ...], list[TrialRecord]] = {}
    for record in complete_trials(records):
        groups.setdefault(record.configuration, []).append(record)
    found = [_configuration(group, exportable=exportable) for group in groups.values()]
    return sorted((c for c in found if c.means), key=lambda c: (-c.metric, c.trials[0].number))


def confirmed(records: Iterable[TrialRecord], *, exportable: bool = False) -> list[Configuration]:
    """The configurations that were trained again, as the new seeds alone show them, best first.

    The trial that called for them has no part in it: it was chosen for its luck too. One with fewer seeds
    than another (still running, or one failed) is not compared.
    """
    found = configurations((r for r in records if r.origin == CONFIRM), exportable=exportable)
    most = max((len(c.trials) for c in found), default=0)
    return [c for c in found if len(c.trials) == most]


def exportable_types(config: Mapping[str, Any], score_types: Iterable[str]) -> list[str]:
    """Those by which a new recording can be scored: of a family that is here, and no section needed."""
    from humtune.detectors.recipe import recipe_of  # torch, which most choices do without

    try:
        recipe = recipe_of(config)
    except ValidationError:
        return []
    return [name for name in score_types if recipe.can_be_exported(name)]


def _candidates(record: TrialRecord, *, exportable: bool) -> list[Candidate]:
    names = exportable_types(record.config, record.judged) if exportable else record.judged
    return [Candidate(record, name, record.judged[name]) for name in names]


def _configuration(trials: list[TrialRecord], *, exportable: bool) -> Configuration:
    first = _candidates(trials[0], exportable=exportable)
    shared = [c.score_type for c in first if all(c.score_type in t.judged for t in trials)]
    return Configuration(tuple(trials), {s: float(np.mean([t.judged[s] for t in trials])) for s in shared})
